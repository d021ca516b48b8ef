"""``chatbot index`` and ``chatbot search``: the knowledge folders from the command line.

Works with the retrieval process alone; no language model is loaded. Results go to standard
output, progress and problems to standard error. The JSON forms are documented in the manual;
their keys are a promise.
"""

import argparse
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from chatbot.errors import KnowledgeError, SettingError
from chatbot.settings import KnowledgeFolder, Settings, find_spec, with_value
from chatbot.terminal_text import clean, clean_line

if TYPE_CHECKING:  # not needed for --help, and not free
    from chatbot.retrieval.client import RetrievalClient
    from chatbot.retrieval.values import FolderStatus, Hit, IndexOptions

INTERRUPTED: Final = 130

CANCEL_SECONDS: Final = 5.0
"""How long the retrieval process may take to end its work when it is told to."""

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
        return asyncio.run(_forget(paths) if forgets else _index(paths, settings, options.json))
    num_results = _num_results(options.num_results)
    queries = _queries(options.query, options.queries)
    paths = _paths(getattr(options, "folders", []), settings, must_exist=True)
    return asyncio.run(_search(queries, paths, settings, num_results, as_json=options.json))


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


def _queries(query: str, file: str | None) -> Iterable[str]:
    if bool(query.strip()) is (file is not None):
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


def _client() -> "RetrievalClient":
    from chatbot.paths import log_dir
    from chatbot.retrieval.client import RetrievalClient

    return RetrievalClient(log_dir() / "retrieval.log")


async def _forget(paths: tuple[str, ...]) -> int:
    client = _client()
    try:
        for path in paths:
            num_bytes = await client.forget(path)
            print(f"{clean_line(path, 1000)}: {num_bytes / 1e6:,.1f} MB freed")
    finally:
        await client.close()
    return 0


async def _bring_up_to_date(
    client: "RetrievalClient", paths: tuple[str, ...], options: "IndexOptions"
) -> "tuple[FolderStatus, ...]":
    """Index folders with progress on standard error; Ctrl+C ends it with what is done.

    Returns:
        How each folder stands; nothing where that could not be learnt before the end.
    """
    import asyncio

    from chatbot.plain.index_progress import IndexPrinter

    printer = IndexPrinter()
    client.on_status(printer.show)
    loop = asyncio.get_running_loop()
    work = asyncio.ensure_future(client.index(paths, options, watch=False))

    def stop() -> None:
        client.cancel_index()
        loop.call_later(CANCEL_SECONDS, work.cancel)
        loop.remove_signal_handler(signal.SIGINT)  # who presses it again will not wait

    loop.add_signal_handler(signal.SIGINT, stop)
    try:
        return await work
    except asyncio.CancelledError:
        if not work.cancelled():
            raise
        return ()
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        printer.close()


async def _index(paths: tuple[str, ...], settings: Settings, as_json: bool) -> int:
    client = _client()
    try:
        statuses = await _bring_up_to_date(client, paths, _options(settings))
        reports = [await _report(client, status) for status in statuses]
    finally:
        await client.close()
    if as_json:
        print(msgspec.json.encode({"folders": reports}).decode())
    else:
        for report in reports:
            print("\n".join(_summary(report)))
    if not statuses or any(status.stage == "cancelled" for status in statuses):
        return INTERRUPTED
    return int(any(status.stage == "failed" for status in statuses))


async def _report(client: "RetrievalClient", status: "FolderStatus") -> dict[str, Any]:
    """How a folder stands, and which of its files are not in the index, and why."""
    problems = []
    if status.num_problems:
        for document in await client.list_documents(status.folder):
            if document.problem:
                reason = clean_line(document.problem, 500)
                problems.append({"file": clean_line(document.file, 1000), "reason": reason})
    return {
        "folder": status.folder,
        "stage": status.stage,
        "files": status.num_files,
        "passages": status.num_passages,
        "embedded": status.num_embedded,
        "bytes": status.num_bytes,
        "problems": problems,
        "ignored": status.num_ignored,
        "error": status.error,
        "notice": status.notice,
    }


def _summary(report: dict[str, Any]) -> Iterator[str]:
    name = clean_line(report["folder"], 1000)
    passages, embedded = report["passages"], report["embedded"]
    share = "all embedded" if embedded == passages else f"{embedded:,} of them embedded"
    yield (
        f"{name}: {report['stage']}, {report['files']:,} files, {passages:,} passages, {share}, "
        f"{report['bytes'] / 1e6:,.1f} MB"
    )
    if report["error"]:
        yield f"  {report['error']}"
    if report["notice"]:
        yield f"  {clean_line(report['notice'], 500)}"
    if report["ignored"]:
        yield f"  left out by .chatbotignore: {report['ignored']:,}"
    if report["problems"]:
        yield f"  not in the index ({len(report['problems']):,}):"
    for problem in report["problems"]:
        yield f"    {problem['file']}: {problem['reason']}"


async def _search(
    queries: Iterable[str],
    paths: tuple[str, ...],
    settings: Settings,
    num_results: int,
    *,
    as_json: bool,
) -> int:
    client = _client()
    options = _options(settings)
    notices = set[str]()
    try:
        statuses = await _bring_up_to_date(client, paths, options)
        for status in statuses:
            for sentence in filter(None, (status.error, status.notice)):
                print(clean_line(sentence, 500), file=sys.stderr)
        if not statuses or any(status.stage == "cancelled" for status in statuses):
            return INTERRUPTED
        if all(status.stage == "failed" for status in statuses):
            return 1
        for query in queries:
            found = await client.search(
                query,
                paths,
                options,
                num_hits=num_results,
                reranker=settings.reranker,
            )
            hits = [hit for hit in found.hits if hit.duplicate_of is None][:num_results]
            if as_json:
                results = [_as_json(hit) for hit in hits]
                print(msgspec.json.encode({"query": query, "results": results}).decode())
            else:
                print("\n".join(_as_text(query, hits, names_folders=len(paths) > 1)))
            if found.notice and found.notice not in notices:
                notices.add(found.notice)
                print(clean_line(found.notice, 500), file=sys.stderr)
    finally:
        await client.close()
    sys.stdout.flush()
    return 0


def _score(hit: "Hit") -> float:
    return hit.scores.fused if hit.scores.reranked is None else hit.scores.reranked


def _as_json(hit: "Hit") -> dict[str, Any]:
    passage = hit.passage
    return {
        "file": passage.file,
        "start_line": passage.start_line,
        "end_line": passage.end_line,
        "page": passage.page,
        "start": passage.start,
        "end": passage.end,
        "score": _score(hit),
        "text": passage.text,
        "folder": passage.folder,
        "title": " › ".join(passage.headings),
        "scores": msgspec.structs.asdict(hit.scores),
    }


def _as_text(query: str, hits: "list[Hit]", *, names_folders: bool) -> Iterator[str]:
    from chatbot.conversation.found_sources import location_of

    if not hits:
        yield f"Nothing was found for “{clean_line(query)}”."
    for number, hit in enumerate(hits, 1):
        title = hit.passage.heading_path
        place = location_of(hit.passage, names_folder=names_folders)
        scores = f"score {_score(hit):.4f}, relevance {hit.scores.relevance:.2f}"
        yield " · ".join(filter(None, (f"{number}. {place}", title, scores)))
        yield from (f"   {line}".rstrip() for line in clean(hit.passage.text).splitlines())
        yield ""


def _options(settings: Settings) -> "IndexOptions":
    from chatbot.retrieval.values import IndexOptions

    return IndexOptions(embedding_model=settings.embedding_model)
