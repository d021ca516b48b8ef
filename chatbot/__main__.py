"""``python -m chatbot`` is the same as ``chatbot``."""

import sys

from chatbot.cli import main

sys.exit(main())
