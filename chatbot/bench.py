"""``chatbot bench``: what is measured, and with which flags. Imports nothing heavy.

The measuring itself happens in a process of its own, which may import torch.
"""

import argparse
import subprocess
import sys
from typing import Final, NamedTuple

from chatbot.settings import DEFAULT_EMBEDDING_MODEL, PRECISIONS, Settings, find_spec


def add_bench_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``bench`` to the commands of the command line."""
    bench = commands.add_parser("bench", help="how well and how fast the program works here")
    kinds = bench.add_subparsers(dest="kind", metavar="WHAT", required=True)
    retrieval = kinds.add_parser(
        "retrieval", help="search in folders, beside BM25 and embeddings alone"
    )
    add_retrieval_options(retrieval)
    tools = kinds.add_parser(
        "tools",
        help="how well a model calls tools",
        description="Ask questions that need tools, or none, and check the calls.",
    )
    add_tools_options(tools)


def add_retrieval_options(parser: argparse.ArgumentParser) -> None:
    """The flags of ``bench retrieval``."""
    parser.add_argument(
        "--data",
        required=True,
        metavar="DIR",
        help="a collection, or a folder of them: docs/ with queries.jsonl and qrels.tsv, or with "
        "questions.jsonl; .tar.gz is unpacked",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object in place of tables")
    parser.add_argument(
        "--embedding-model",
        default=DEFAULT_EMBEDDING_MODEL,
        metavar="NAME",
        help=f"a hub id or a folder; {DEFAULT_EMBEDDING_MODEL} when not given",
    )
    parser.add_argument(
        "--num-passages",
        type=int,
        default=100_000,
        metavar="N",
        help="size of the folder that the time of a search is measured over; 100000",
    )
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--quality-only", action="store_true", help="no speed")
    part.add_argument("--speed-only", action="store_true", help="only speed")


def add_tools_options(parser: argparse.ArgumentParser) -> None:
    """The flags of ``bench tools``."""
    parser.add_argument(
        "-m", "--model", default=Settings().model, metavar="MODEL", help=find_spec("model").help
    )
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="auto", help=find_spec("precision").help
    )
    parser.add_argument(
        "--limit", type=_count, default=100, metavar="N", help="questions of each set; 100"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--own-only", action="store_true", help="only our own questions")
    which.add_argument("--bfcl-only", action="store_true", help="only those of BFCL")
    parser.add_argument("--json", action="store_true", help="one JSON object a set")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def run_bench(options: argparse.Namespace) -> int:
    """Measure in a process of its own; returns its exit status."""
    arguments = _TOOLS if options.kind == "tools" else _RETRIEVAL
    command = [sys.executable, "-P", "-m", arguments.module]
    for name in arguments.values:
        command += ["--" + name.replace("_", "-"), str(getattr(options, name))]
    for name in arguments.switches:
        if getattr(options, name):
            command.append("--" + name.replace("_", "-"))
    return subprocess.run(command, check=False).returncode


class _Arguments(NamedTuple):
    """What a benchmark is passed on."""

    module: str
    values: tuple[str, ...]
    switches: tuple[str, ...]


_RETRIEVAL: Final = _Arguments(
    "chatbot.retrieval.benchmark",
    ("data", "embedding_model", "num_passages"),
    ("json", "quality_only", "speed_only"),
)
_TOOLS: Final = _Arguments(
    "chatbot.bench_tools", ("model", "precision", "limit"), ("json", "own_only", "bfcl_only")
)
