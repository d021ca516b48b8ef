"""The real program on the scripted engine: started by tests in place of ``python -m chatbot``."""

import sys
from functools import partial
from pathlib import Path

import chatbot.session
from chatbot.cli import main
from chatbot.engine.client import EngineClient

SCRIPTED_ENGINE = Path(__file__).parent / "scripted_engine.py"

if __name__ == "__main__":
    command = (sys.executable, str(SCRIPTED_ENGINE))
    chatbot.session.EngineClient = partial(EngineClient, command=command)  # type: ignore
    sys.exit(main())
