"""``python -m chatbot.retrieval.benchmark``: as the retrieval process is set up, so is this."""

import os
import sys

from chatbot.retrieval.__main__ import prepare_process

if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    prepare_process()
    # After what numpy and torch read when they are imported.
    from chatbot.retrieval.benchmark.running import main

    sys.exit(main())
