"""The engine process: ``python -m chatbot.engine``.

Requests are taken from the first moment on; torch and transformers, which need seconds to
import, come after, and whoever waits for a model is told so.
"""

import contextlib
import gc
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
    # How long a thread spins before it sleeps. The default spins through the gaps between two
    # products, which is right on idle processors, but takes them from one another as soon as
    # anything else runs: with one busy process on two cores, 1 token a second instead of 25.
    # This gives 23.6 and 4.5; never spinning gives 12 and 7.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    channel: Channel[EngineRequest] = Channel(EngineRequest)
    inbox = Inbox(channel)
    inbox.announce("Starting torch")
    inbox.start()
    # Hundreds of modules make objects that stay: looking for any that do not takes half a second.
    gc.disable()
    import torch  # noqa: F401

    inbox.announce("Starting transformers")
    from chatbot.engine.server import Engine

    engine = Engine(channel, inbox)
    inbox.announce(None)
    gc.freeze()
    gc.enable()
    with contextlib.suppress(KeyboardInterrupt):
        engine.run()


if __name__ == "__main__":
    main()
