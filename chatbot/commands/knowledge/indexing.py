"""``chatbot index``: brings folders up to date, and says which files cannot be.

Its JSON form is documented in the manual; its keys are a promise.
"""

import asyncio
import signal
import sys
from collections.abc import Iterator
from typing import Any, Final

from chatbot.commands.scripting import INTERRUPTED, print_json
from chatbot.paths import log_dir
from chatbot.plain.index_progress import IndexPrinter
from chatbot.retrieval.client import RetrievalClient
from chatbot.retrieval.values import FolderStatus, IndexOptions
from chatbot.settings import Settings
from chatbot.terminal_text import clean_line
from chatbot.wording import size

CANCEL_SECONDS: Final = 5.0
"""How long the retrieval process may take to end its work when it is told to."""


async def index_folders(paths: tuple[str, ...], settings: Settings, *, as_json: bool) -> int:
    """Index folders and print how they stand; returns the exit status."""
    client = new_client()
    try:
        statuses = await bring_up_to_date(client, paths, options_of(settings))
        reports = [await _report(client, status) for status in statuses]
    finally:
        await client.close()
    if as_json:
        print_json({"folders": reports})
    else:
        for report in reports:
            print("\n".join(_summary(report)))
    for error in filter(None, (status.error for status in statuses)):
        print(clean_line(error, 500), file=sys.stderr)
    if not statuses or any(status.stage == "cancelled" for status in statuses):
        return INTERRUPTED
    return int(any(status.stage == "failed" for status in statuses))


async def forget_indexes(paths: tuple[str, ...]) -> int:
    """Delete the indexes of folders and print what became free; returns the exit status."""
    client = new_client()
    try:
        for path in paths:
            num_bytes = await client.forget(path)
            freed = f"{size(num_bytes)} freed" if num_bytes else "there was no index of it"
            print(f"{clean_line(path, 1000)}: {freed}")
    finally:
        await client.close()
    return 0


def new_client() -> RetrievalClient:
    """A retrieval process of this run's own."""
    return RetrievalClient(log_dir() / "retrieval.log")


def options_of(settings: Settings) -> IndexOptions:
    """How folders are indexed."""
    return IndexOptions(embedding_model=settings.embedding_model)


async def bring_up_to_date(
    client: RetrievalClient, paths: tuple[str, ...], options: IndexOptions
) -> tuple[FolderStatus, ...]:
    """Index folders with progress on standard error; Ctrl+C ends it with what is done.

    Returns:
        How each folder stands; nothing where that could not be learnt before the end.
    """
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


async def _report(client: RetrievalClient, status: FolderStatus) -> dict[str, Any]:
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
    share = ", all embedded" if embedded == passages else f", {embedded:,} of them embedded"
    yield (
        f"{name}: {report['stage']}, {report['files']:,} files, {passages:,} passages"
        f"{share if passages else ''}, {size(report['bytes'])}"
    )
    if report["notice"]:
        yield f"  {clean_line(report['notice'], 500)}"
    if report["ignored"]:
        yield f"  left out by .chatbotignore and .gitignore: {report['ignored']:,}"
    if report["problems"]:
        yield f"  not in the index ({len(report['problems']):,}):"
    for problem in report["problems"]:
        yield f"    {problem['file']}: {problem['reason']}"
