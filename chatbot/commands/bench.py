"""``chatbot bench``: what is measured. Imports nothing heavy.

The measuring itself happens in a process of its own, which may import torch.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from chatbot.commands.bench_tools import options as tools
from chatbot.engine.benchmark import options as speed
from chatbot.paths import process_dir
from chatbot.retrieval.benchmark import options as retrieval


def add_bench_parser(commands: Any) -> None:
    """Add ``bench`` to the commands of the command line."""
    bench = commands.add_parser(
        "bench",
        help="how well and how fast the program works here",
        description="Measure how well and how fast the program works here; speed by default.",
    )
    kinds = bench.add_subparsers(dest="kind", metavar="WHAT")
    speed.add_options(
        kinds.add_parser(
            "speed", help="a model's speed, beside the memory's and plain generate()'s"
        )
    )
    retrieval.add_options(
        kinds.add_parser("retrieval", help="search in folders, beside BM25 and embeddings alone")
    )
    tools.add_options(
        kinds.add_parser(
            "tools",
            help="how well a model calls tools",
            description="Ask questions that need tools, or none, and check the calls.",
        )
    )


def run_bench(options: argparse.Namespace) -> int:
    """Measure in a process of its own; returns its exit status."""
    match options.kind:
        case "retrieval":
            return _run("chatbot.retrieval.benchmark", retrieval.as_arguments(options))
        case "tools":
            return _run("chatbot.commands.bench_tools", tools.as_arguments(options))
        case "speed":
            return _run("chatbot.engine.benchmark", speed.as_arguments(options))
        case _:
            return _run("chatbot.engine.benchmark", [])


def _run(module: str, arguments: Sequence[str]) -> int:
    command = [sys.executable, "-P", "-m", module, *arguments]
    return subprocess.run(command, check=False, cwd=process_dir()).returncode
