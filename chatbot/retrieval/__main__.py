"""The retrieval process: ``python -m chatbot.retrieval``.

Requests are taken from the first moment on; torch, which needs seconds to import, comes only
when something has to be embedded.
"""

import os
import sys
import traceback

from chatbot.retrieval.protocol import RetrievalRequest
from chatbot.worker.server import Channel


def prepare_process() -> None:
    """Set what libraries read when they are imported, and keep what is written private."""
    os.umask(0o077)
    # Standard output is a log file, where progress bars are noise.
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    # See chatbot.engine: threads that spin long take the processors from one another.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    # numpy multiplies small matrices only, and its threads would take the processor from torch's.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # sentence-transformers imports peft where it is installed, and with it bitsandbytes and torch's
    # compiler: a quarter of its import, for adapters to embedding models, which hardly exist.
    sys.modules["peft"] = None  # type: ignore[assignment]


def main() -> None:
    """Serve until the client goes away."""
    prepare_process()
    channel: Channel[RetrievalRequest] = Channel(RetrievalRequest)
    status = 1
    try:
        # After what numpy reads when it is imported.
        from chatbot.retrieval.server import Server

        server = Server(channel.send)
        for request in channel.requests():
            server.accept(request)
        status = 0
    except Exception:
        traceback.print_exc(file=sys.stderr)
        sys.stderr.flush()
    finally:
        # Even in the middle of indexing: nobody waits for it, and what is kept is consistent.
        os._exit(status)


if __name__ == "__main__":
    main()
