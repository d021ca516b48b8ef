"""Collections of documents with questions whose answers are known.

A collection is a folder, or a ``.tar.gz`` of one: documents in ``docs/``, and beside it either
``queries.jsonl`` with ``qrels.tsv``, or ``questions.jsonl`` in one of two forms: with an answering
``passage`` and whether it is ``answerable``, or with the ``spans`` of characters that answer.
"""

import json
import tarfile
from pathlib import Path
from typing import Any, Final

import msgspec

from chatbot.errors import KnowledgeError
from chatbot.retrieval.documents.document import Document, DocumentError
from chatbot.retrieval.documents.reading import read_document

MAX_UNPACKED_BYTES: Final = 2_000_000_000
MAX_ENTRIES: Final = 2_000_000


class Judged(msgspec.Struct, frozen=True):
    """A query with the documents that fit it."""

    text: str
    grades: dict[str, int]
    """By file; 1 and up is relevant."""


class Answered(msgspec.Struct, frozen=True):
    """A question with the paragraph that answers it, if any does."""

    text: str
    file: str
    passage: str
    answers: tuple[str, ...]
    is_answerable: bool


class Spanned(msgspec.Struct, frozen=True):
    """A question with the characters that answer it."""

    text: str
    file: str
    spans: tuple[tuple[int, int], ...]


class Collection(msgspec.Struct, frozen=True, kw_only=True):
    """Documents, and one of the three kinds of questions."""

    name: str
    folder: Path
    """With the documents."""
    documents: dict[str, Document]
    """By file."""
    judged: tuple[Judged, ...] = ()
    answered: tuple[Answered, ...] = ()
    spanned: tuple[Spanned, ...] = ()


def find_collections(folder: Path, scratch: Path) -> list[Path]:
    """The collections in ``folder``, or it alone; archives are unpacked into ``scratch``.

    Raises:
        KnowledgeError: there is none, or an archive is not safe to unpack.
    """
    if (folder / "docs").is_dir():
        return [folder]
    if not folder.is_dir():
        raise KnowledgeError(f"There is no folder {folder}; name one that holds collections.")
    found = [entry for entry in sorted(folder.iterdir()) if (entry / "docs").is_dir()]
    for archive in sorted(folder.glob("*.tar.gz")):
        target = scratch / archive.name.removesuffix(".tar.gz")
        _unpack(archive, target)
        inner = [entry for entry in (target, *target.iterdir()) if (entry / "docs").is_dir()]
        found += inner[:1]
    if not found:
        raise KnowledgeError(
            f"There is no collection in {folder}: each is a folder with docs/ and questions."
        )
    return found


def read_collection(folder: Path) -> Collection:
    """Read documents and questions.

    Raises:
        KnowledgeError: a file is missing or broken.
    """
    docs = folder / "docs"
    documents: dict[str, Document] = {}
    for path in sorted(docs.rglob("*")):
        if path.is_file():
            file = path.relative_to(docs).as_posix()
            try:
                documents[file] = read_document(docs, file)
            except DocumentError:
                continue  # an empty one can fit no query
    collection = Collection(name=folder.name, folder=docs, documents=documents)
    try:
        return _with_questions(collection, folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise KnowledgeError(f"The questions in {folder} cannot be read ({error!r}).") from error


def _with_questions(collection: Collection, folder: Path) -> Collection:
    if (folder / "qrels.tsv").is_file():
        grades: dict[str, dict[str, int]] = {}
        for line in (folder / "qrels.tsv").read_text(encoding="utf-8").splitlines():
            query, file, grade = line.split("\t")
            grades.setdefault(query, {})[file] = int(grade)
        rows = _read_lines(folder / "queries.jsonl")
        judged = (Judged(row["text"], grades[row["id"]]) for row in rows if row["id"] in grades)
        return msgspec.structs.replace(collection, judged=tuple(judged))
    rows = _read_lines(folder / "questions.jsonl")
    if rows and "spans" in rows[0]:
        spanned = (
            Spanned(
                row["question"],
                row["file"],
                tuple((span["start"], span["end"]) for span in row["spans"]),
            )
            for row in rows
        )
        return msgspec.structs.replace(collection, spanned=tuple(spanned))
    answered = (
        Answered(
            row["question"], row["file"], row["passage"], tuple(row["answers"]), row["answerable"]
        )
        for row in rows
    )
    return msgspec.structs.replace(collection, answered=tuple(answered))


def _read_lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line]


def _unpack(archive: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(archive, "r:gz") as opened:
            num_bytes = 0
            for number, member in enumerate(opened):
                num_bytes += member.size
                if num_bytes > MAX_UNPACKED_BYTES or number >= MAX_ENTRIES:
                    raise KnowledgeError(f"{archive.name} is too big; unpack it by hand.")
                if member.isfile() or member.isdir():
                    # The filter refuses absolute paths, and any that lead out of the target.
                    opened.extract(member, target, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise KnowledgeError(f"{archive.name} cannot be unpacked ({error}).") from error
