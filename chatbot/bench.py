"""``chatbot bench``: what is measured, and with which flags. Imports nothing heavy.

The measuring itself happens in a process of its own, which may import torch.
"""

import argparse
import subprocess
import sys

from chatbot.settings import DEFAULT_EMBEDDING_MODEL

RETRIEVAL_BENCHMARK = "chatbot.retrieval.benchmark"


def add_bench_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``bench`` to the commands of the command line."""
    bench = commands.add_parser("bench", help="how well and how fast the program works here")
    kinds = bench.add_subparsers(dest="kind", metavar="WHAT", required=True)
    retrieval = kinds.add_parser(
        "retrieval", help="search in folders, beside BM25 and embeddings alone"
    )
    add_retrieval_options(retrieval)


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


def run_bench(options: argparse.Namespace) -> int:
    """Measure in a process of its own; returns its exit status."""
    command = [sys.executable, "-P", "-m", RETRIEVAL_BENCHMARK, "--data", options.data]
    command += ["--embedding-model", options.embedding_model]
    command += ["--num-passages", str(options.num_passages)]
    for flag in ("json", "quality_only", "speed_only"):
        if getattr(options, flag):
            command.append("--" + flag.replace("_", "-"))
    return subprocess.run(command, check=False).returncode
