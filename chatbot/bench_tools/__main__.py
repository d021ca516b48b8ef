"""``python -m chatbot.bench_tools``: the same as ``chatbot bench tools``."""

import argparse
import sys

from chatbot.bench import add_tools_options
from chatbot.bench_tools.command import run_tools
from chatbot.errors import ChatbotError


def main() -> int:
    """Run it; returns the exit status."""
    parser = argparse.ArgumentParser(prog="chatbot bench tools")
    add_tools_options(parser)
    try:
        return run_tools(parser.parse_args())
    except ChatbotError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
