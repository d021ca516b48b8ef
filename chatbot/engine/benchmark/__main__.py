"""``python -m chatbot.engine.benchmark``: as the engine process is set up, so is this."""

import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # see chatbot.engine.__main__
    # After what torch reads when it is imported.
    from chatbot.engine.benchmark.running import main

    sys.exit(main())
