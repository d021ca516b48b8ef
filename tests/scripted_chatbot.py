"""The real program on the scripted engine and retrieval, in place of ``python -m chatbot``.

With ``SCRIPT_NO_ENGINE`` a start of the engine is an error.
"""

import os
import sys
from functools import partial
from pathlib import Path

import chatbot.session
from chatbot.cli import main
from chatbot.engine.client import EngineClient
from chatbot.retrieval import client

SCRIPTED_ENGINE = Path(__file__).parent / "scripted_engine.py"
SCRIPTED_RETRIEVAL = Path(__file__).parent / "scripted_retrieval.py"

if __name__ == "__main__":
    command = (sys.executable, str(SCRIPTED_ENGINE))
    if os.environ.get("SCRIPT_NO_ENGINE"):
        command = ("/no/engine",)
    chatbot.session.EngineClient = partial(EngineClient, command=command)  # type: ignore
    retrieval = partial(client.RetrievalClient, command=(sys.executable, str(SCRIPTED_RETRIEVAL)))
    client.RetrievalClient = chatbot.session.RetrievalClient = retrieval  # type: ignore
    sys.exit(main())
