"""The engine process: ``python -m chatbot.engine``.

Requests are taken from the first moment on; torch and transformers, which need seconds to
import, come after, and whoever waits for a model is told so.
"""

import contextlib
import os

from chatbot.engine.inbox import Inbox
from chatbot.engine.protocol import EngineRequest
from chatbot.worker.server import Channel


def main() -> None:
    """Serve until the client goes away."""
    # Standard output is a log file, where progress bars are noise.
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Threads that spin while they wait take the processor from one another as soon as anything
    # else runs beside them: with one busy process on two cores, answers came six times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    channel: Channel[EngineRequest] = Channel(EngineRequest)
    inbox = Inbox(channel)
    inbox.announce("Starting torch")
    inbox.start()
    import torch  # noqa: F401

    inbox.announce("Starting transformers")
    from chatbot.engine.server import Engine

    engine = Engine(channel, inbox)
    inbox.announce(None)
    with contextlib.suppress(KeyboardInterrupt):
        engine.run()


if __name__ == "__main__":
    main()
