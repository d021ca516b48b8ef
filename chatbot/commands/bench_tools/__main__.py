"""``python -m chatbot.commands.bench_tools``: the same as ``chatbot bench tools``."""

import argparse
import sys

from chatbot.commands.bench_tools.command import run_tools
from chatbot.commands.bench_tools.options import add_options
from chatbot.commands.scripting import FAILED
from chatbot.errors import ChatbotError


def main() -> int:
    """Run it; returns the exit status."""
    parser = argparse.ArgumentParser(prog="chatbot bench tools")
    add_options(parser)
    try:
        return run_tools(parser.parse_args())
    except ChatbotError as error:
        print(error, file=sys.stderr)
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
