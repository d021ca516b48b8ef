"""The flags of ``chatbot bench retrieval``. Imports nothing heavy."""

import argparse

from chatbot.settings import DEFAULT_EMBEDDING_MODEL


def add_options(parser: argparse.ArgumentParser) -> None:
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


def as_arguments(options: argparse.Namespace) -> list[str]:
    """What was read, as the flags that say it."""
    arguments = ["--data", options.data]
    arguments += ["--embedding-model", options.embedding_model]
    arguments += ["--num-passages", str(options.num_passages)]
    for flag in ("json", "quality_only", "speed_only"):
        if getattr(options, flag):
            arguments.append("--" + flag.replace("_", "-"))
    return arguments
