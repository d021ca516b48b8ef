"""``chatbot bench``: what is measured, and with which flags. Imports nothing heavy.

The measuring itself happens in a process of its own, which may import torch.
"""

import argparse
import subprocess
import sys

from chatbot.settings import DEFAULT_EMBEDDING_MODEL, DEFAULT_MODEL, PRECISIONS, find_spec

RETRIEVAL_BENCHMARK = "chatbot.retrieval.benchmark"
SPEED_BENCHMARK = "chatbot.engine.benchmark"
TOOLS_BENCHMARK = "chatbot.bench_tools"

HISTORIES = (512, 2048, 4096)
"""Tokens that the time to the first token is measured after."""


def add_bench_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``bench`` to the commands of the command line."""
    bench = commands.add_parser(
        "bench",
        help="how well and how fast the program works here",
        description="Measure how well and how fast the program works here; speed by default.",
    )
    kinds = bench.add_subparsers(dest="kind", metavar="WHAT")
    speed = kinds.add_parser(
        "speed", help="a model's speed, beside the memory's and plain generate()'s"
    )
    add_speed_options(speed)
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


def add_speed_options(parser: argparse.ArgumentParser) -> None:
    """The flags of ``bench speed``."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "-m",
        "--model",
        default=DEFAULT_MODEL,
        metavar="MODEL",
        help=f"a catalogue name, a hub id, a folder or a .gguf file; {DEFAULT_MODEL}",
    )
    which.add_argument(
        "--random-config",
        default="",
        metavar="NAME",
        help="a shape with random weights in place of a model: llama-3.1-8b, qwen3-0.6b, …",
    )
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="auto", help="number format of the weights"
    )
    parser.add_argument(
        "--tokens", type=int, default=128, metavar="N", help="length of the answers; 128"
    )
    parser.add_argument(
        "--runs", type=int, default=3, metavar="N", help="times each is measured, by turns; 3"
    )
    parser.add_argument(
        "--history",
        type=int,
        nargs="*",
        default=list(HISTORIES),
        metavar="N",
        help="tokens of history before the first token; "
        + ", ".join(str(length) for length in HISTORIES),
    )
    parser.add_argument(
        "--no-generate", action="store_true", help="leave plain generate() out, and its memory"
    )
    parser.add_argument(
        "--compare", choices=("llama.cpp",), help="measure that too, if its package is installed"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object in place of a table")


def add_tools_options(parser: argparse.ArgumentParser) -> None:
    """The flags of ``bench tools``."""
    parser.add_argument(
        "-m", "--model", default=DEFAULT_MODEL, metavar="MODEL", help=find_spec("model").help
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
    command = [sys.executable, "-P", "-m"]
    match options.kind:
        case "retrieval":
            command += _retrieval_command(options)
        case "tools":
            command += _tools_command(options)
        case "speed":
            command += _speed_command(options)
        case _:
            command.append(SPEED_BENCHMARK)
    return subprocess.run(command, check=False).returncode


def _speed_command(options: argparse.Namespace) -> list[str]:
    command = [SPEED_BENCHMARK, "--precision", options.precision]
    if options.random_config:
        command += ["--random-config", options.random_config]
    else:
        command += ["--model", options.model]
    command += ["--tokens", str(options.tokens), "--runs", str(options.runs)]
    command += ["--history", *(str(length) for length in options.history)]
    if options.compare:
        command += ["--compare", options.compare]
    for flag in ("no_generate", "json"):
        if getattr(options, flag):
            command.append("--" + flag.replace("_", "-"))
    return command


def _tools_command(options: argparse.Namespace) -> list[str]:
    command = [TOOLS_BENCHMARK, "--model", options.model, "--precision", options.precision]
    command += ["--limit", str(options.limit)]
    for flag in ("own_only", "bfcl_only", "json"):
        if getattr(options, flag):
            command.append("--" + flag.replace("_", "-"))
    return command


def _retrieval_command(options: argparse.Namespace) -> list[str]:
    command = [RETRIEVAL_BENCHMARK, "--data", options.data]
    command += ["--embedding-model", options.embedding_model]
    command += ["--num-passages", str(options.num_passages)]
    for flag in ("json", "quality_only", "speed_only"):
        if getattr(options, flag):
            command.append("--" + flag.replace("_", "-"))
    return command
