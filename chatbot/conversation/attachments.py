"""Reads the files that are attached to a question.

By the retrieval process, which reads files that others made with limits. Knows neither the
language model nor a screen.
"""

import asyncio
import stat
from collections.abc import Sequence
from functools import partial
from typing import Final

import msgspec

from chatbot.conversation.file_block import files_of
from chatbot.conversation.mentions import mentioned_files, missing_files, names_file, path_of_name
from chatbot.errors import AttachmentError, KnowledgeError
from chatbot.messages import FilePart, Message
from chatbot.retrieval.client import Retrieval
from chatbot.terminal_text import clean

MAX_FILES: Final = 20
MAX_CHARACTERS: Final = 1_000_000
"""Of one file. It is kept with the question, and no window of today holds much more."""

MAX_KEPT: Final = 8
"""Files that are not read again as long as they stay as they are."""

_Stamp = tuple[int, int, int, int]
"""A file, by device and number, when it or what may be done with it was changed, in nanoseconds,
and its size."""


class Attachments:
    """Files as parts of questions; one that stays as it is, is read once."""

    def __init__(self, retrieval: Retrieval) -> None:
        """Read by ``retrieval``."""
        self._retrieval = retrieval
        self._kept: dict[_Stamp, asyncio.Future[FilePart]] = {}

    async def read(self, names: Sequence[str]) -> tuple[FilePart, ...]:
        """The files of these names, as they are now.

        Args:
            names: as the user gave them; see ``mentions.path_of_name``.

        Raises:
            AttachmentError: one of them cannot be attached, or there are too many.
            WorkerError: the retrieval process died.
        """
        files = check_files(names)
        return tuple([await self._read(name, stamp) for stamp, name in files.items()])

    async def _read(self, name: str, stamp: _Stamp) -> FilePart:
        reading = self._kept.get(stamp)
        if reading is None:
            while len(self._kept) >= MAX_KEPT:
                del self._kept[next(iter(self._kept))]
            reading = self._kept[stamp] = asyncio.ensure_future(self._read_anew(name))
            reading.add_done_callback(partial(self._forget_failed, stamp))
        # Whoever has no more use for it does not end it: the next one, at the next key, has.
        return msgspec.structs.replace(await asyncio.shield(reading), name=_shown(name))

    async def _read_anew(self, name: str) -> FilePart:
        shown, path = _shown(name), path_of_name(name)
        try:
            document = await self._retrieval.read_file(str(path))
        except KnowledgeError as error:
            raise AttachmentError(f"{shown} cannot be attached. {error}") from error
        text = clean(document.text).rstrip("\n")
        if len(text) > MAX_CHARACTERS:
            raise AttachmentError(
                f"{shown} is too long to be attached: it has {len(text):,} characters, and "
                f"{MAX_CHARACTERS:,} is the most; /knowledge add has its folder searched."
            )
        return FilePart(name=shown, kind=document.kind, text=text)

    def _forget_failed(self, stamp: _Stamp, reading: "asyncio.Future[FilePart]") -> None:
        """Read it again next time, unless that would fail in the same way."""
        error = None if reading.cancelled() else reading.exception()
        has_failed = reading.cancelled() or not isinstance(error, AttachmentError | None)
        if has_failed and self._kept.get(stamp) is reading:
            del self._kept[stamp]


def check_files(names: Sequence[str]) -> dict[_Stamp, str]:
    """Refuse what cannot be attached, as far as a look at it shows.

    Returns:
        A name for each file, by what tells whether it is another one: one may have several names.

    Raises:
        AttachmentError: there are too many, or one of them is no file.
    """
    if len(names) > MAX_FILES:
        raise AttachmentError(
            f"Not more than {MAX_FILES} files can be attached to one question, and these are "
            f"{len(names)}; /knowledge add has a folder of them searched instead."
        )
    files: dict[_Stamp, str] = {}
    for name in names:
        files.setdefault(_stamp(name), name)
    return files


def _stamp(name: str) -> _Stamp:
    """What tells whether a file is another one, or has changed.

    Raises:
        AttachmentError: there is no such file.
    """
    if not name.strip():
        raise AttachmentError("Name the file that is to be attached.")
    try:
        name.encode()
        status = path_of_name(name).stat()
    except UnicodeEncodeError as error:
        raise AttachmentError(
            f"{_shown(name)} cannot be attached: its name is no text; rename it first."
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a null character
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise AttachmentError(f"{_shown(name)} cannot be attached: {reason}.") from error
    if stat.S_ISDIR(status.st_mode):
        raise AttachmentError(
            f"{_shown(name)} is a folder: attach files of it, or have it searched, by "
            f"/knowledge add {_shown(name)} or -k {_shown(name)}."
        )
    return status.st_dev, status.st_ino, status.st_ctime_ns, status.st_size


def _shown(name: str) -> str:
    """A name on one line; blanks stay, because the words of the question have them too."""
    return " ".join(clean(name).splitlines())


def files_to_keep(old: Message, text: str, names: Sequence[str]) -> tuple[FilePart, ...]:
    """The files of a question that stay with it in other words, as they were.

    Those that its words never named, having come by a flag, and those that the new words name but
    that cannot be read any more.

    Args:
        old: the question.
        text: the new words.
        names: the files that these name and that are there.
    """
    read_anew = set(map(_shown, names))
    return tuple(
        file
        for file in files_of(old)
        if file.name not in read_anew
        and (names_file(text, file.name) or not names_file(old.text, file.name))
    )


def attached_names(text: str, edited: Message | None) -> list[str]:
    """Names of the files that go with a text, for people.

    Args:
        text: as far as it is written.
        edited: the question that it is in other words; None for a new one.
    """
    names = mentioned_files(text)
    kept = files_to_keep(edited, text, names) if edited else ()
    return [*(file.name for file in kept), *names]


def missing_words(text: str, edited: Message | None, to_read: Sequence[str]) -> str:
    """What is to be said of files that a text names and that are not there; empty for none.

    Args:
        text: what is asked.
        edited: as in ``attached_names``; the question keeps the files that it has.
        to_read: names of the files that are to be read for it, and missed where they are gone.
    """
    known = {*to_read, *(file.name for file in files_of(edited))} if edited else {*to_read}
    names = [name for name in map(_shown, missing_files(text)) if name not in known]
    if not names:
        return ""
    it = "it" if len(names) == 1 else "them"
    return f"There is no file {' or '.join(names)}, so the question goes without {it}."


def names_to_read(text: str, edited: Message | None, announced: Sequence[str]) -> list[str]:
    """Names of the files that are to be read for a text.

    Args:
        text: what is asked.
        edited: as in ``attached_names``.
        announced: what that said last: a file of it that is gone is to be missed, unless it stays
            as it was.
    """
    there = mentioned_files(text)
    kept = {file.name for file in files_of(edited)} if edited else set()
    gone = [name for name in announced if names_file(text, name) and name not in {*there, *kept}]
    return [*gone, *there]
