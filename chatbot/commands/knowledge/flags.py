"""``chatbot index`` and ``chatbot search``: their flags, and which folders they mean.

Works with the retrieval process alone; no language model is loaded. Results go to standard
output, progress and problems to standard error. Imports nothing heavy before one of them is to
run: the command line reads the flags for ``--help`` too.
"""

import argparse
import sys
from pathlib import Path
from typing import Any, Final

from chatbot.errors import KnowledgeError, SettingError
from chatbot.settings import KnowledgeFolder, Settings, find_spec, with_value
from chatbot.terminal_text import clean, clean_line

_STANDARD_INPUT: Final = "-"


def add_folders_flag(parser: argparse.ArgumentParser) -> None:
    """Add ``-k``, which names the folders of this run."""
    parser.add_argument(
        "-k",
        "--knowledge",
        dest="folders",
        action="append",
        default=argparse.SUPPRESS,
        metavar="DIR",
        help="search this folder instead of those of the settings; repeatable; 'none' for none",
    )


def add_knowledge_parsers(commands: Any) -> None:
    """Add ``index`` and ``search`` to the parser's commands."""
    index = commands.add_parser(
        "index",
        help="index folders, and say which files cannot be",
        description="Bring the index of folders up to date. What is unchanged is not read again.",
    )
    index.add_argument("dirs", nargs="*", metavar="DIR", help="default: those of the settings")
    index.add_argument(
        "--forget", action="store_true", help="delete their indexes; the folders stay as they are"
    )
    search = commands.add_parser(
        "search",
        help="the passages of your folders that fit a query best",
        description="Search folders, which are indexed first. No language model is loaded.",
    )
    search.add_argument("query", nargs="?", default="", help="words, or a question")
    search.add_argument(
        "--queries", metavar="FILE", help="one query a line, '-' for standard input"
    )
    add_folders_flag(search)
    search.add_argument(
        "--top-k", dest="num_results", default="10", metavar="N", help="most passages (10)"
    )
    for parser in (index, search):
        parser.add_argument(
            "--embedding-model", metavar="M", help=find_spec("embedding_model").help
        )
        parser.add_argument("--json", action="store_true", help="JSON instead of text")
    search.add_argument("--reranker", metavar="M", help=find_spec("reranker").help)


def run_knowledge(options: argparse.Namespace) -> int:
    """Carry out ``index`` or ``search``; returns the exit status."""
    import asyncio

    from chatbot.commands.knowledge.indexing import forget_indexes, index_folders
    from chatbot.commands.knowledge.searching import search_folders
    from chatbot.config import load_config
    from chatbot.paths import config_file

    config = load_config(config_file())
    for problem in config.problems:
        print(problem, file=sys.stderr)
    settings = config.settings
    for name in ("embedding_model", "reranker"):
        if (value := getattr(options, name, None)) is not None:
            settings = with_value(settings, name, clean(value))
    if options.command == "index":
        forgets = options.forget
        paths = _paths(options.dirs, settings, must_exist=not forgets)
        if forgets:
            return asyncio.run(forget_indexes(paths))
        return asyncio.run(index_folders(paths, settings, as_json=options.json))
    num_results = _num_results(options.num_results)
    queries = _queries(options.query, options.queries)
    paths = _paths(getattr(options, "folders", []), settings, must_exist=True)
    return asyncio.run(search_folders(queries, paths, settings, num_results, as_json=options.json))


def _paths(named: list[str], settings: Settings, *, must_exist: bool) -> tuple[str, ...]:
    """Absolute paths of the folders that are meant."""
    from chatbot.conversation.folders import folders_of_run, path_of, problem_of

    if named and not must_exist:  # the index of what is gone can still be deleted
        return tuple(str(path_of(KnowledgeFolder(name))) for name in named)
    folders = [folder for folder in settings.folders if folder.is_on]
    if named:
        folders = list(folders_of_run(named))
    paths = []
    for folder in folders:
        if problem := problem_of(folder):
            print(problem, file=sys.stderr)
        else:
            paths.append(str(path_of(folder)))
    if not paths:
        raise KnowledgeError("There is no folder to go through; name one.")
    return tuple(dict.fromkeys(paths))


def _num_results(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise SettingError("--top-k must be a whole number from 1 to 1000.")
    return int(text)


def _queries(query: str, file: str | None) -> list[str]:
    if query.strip() and file is not None:
        raise SettingError("search takes a query or --queries FILE, and not both.")
    if not query.strip() and file is None:
        raise SettingError('search needs a query, or --queries FILE: chatbot search "top-p"')
    if file is None:
        return [query]
    try:
        if file == _STANDARD_INPUT:
            raw = sys.stdin.buffer.read()
        else:
            raw = Path(file).read_bytes()
    except OSError as error:
        raise KnowledgeError(f"{clean_line(file)} cannot be read: {error.strerror}.") from error
    lines = raw.decode("utf-8-sig", "replace").split("\n")
    return [line.rstrip("\r") for line in lines if line.strip()]
