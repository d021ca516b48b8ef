"""How the files of a question stand in the prompt: before it, each in a fence of its own.

A fence is longer than any row of backticks in its file, so a file can neither end it nor pose as
the question. The same files always make the same text, because the cached prefix of the next
prompt depends on it. Knows neither the engine nor where files are from.
"""

from collections.abc import Sequence

import msgspec

from chatbot.fencing import fenced
from chatbot.messages import FilePart, Message, TextPart
from chatbot.wording import counted


def files_of(question: Message) -> tuple[FilePart, ...]:
    """The files that were attached to a question."""
    return tuple(part for part in question.parts if isinstance(part, FilePart))


def file_facts(file: FilePart) -> str:
    """What a file is, for people: ``Markdown · 12 lines · 3,456 characters``."""
    num_lines = file.text.count("\n") + 1
    size = (counted(num_lines, "line"), counted(len(file.text), "character"))
    return " · ".join(filter(None, (file.kind, *size)))


def with_files(text: str, files: Sequence[FilePart]) -> str:
    """The user's message: the files, and last the text. Without a file it is the text alone."""
    return "\n\n".join([*map(file_block, files), text])


def file_block(file: FilePart) -> str:
    """A file with its name above it."""
    return f"File {file.name}:\n{fenced(file.text)}"


def as_one_text(message: Message) -> Message:
    """A message whose files stand in its text, as the model is given it."""
    files = files_of(message)
    if not files:
        return message
    rest = [part for part in message.parts if not isinstance(part, FilePart | TextPart)]
    text = TextPart(with_files(message.text, files))
    return msgspec.structs.replace(message, parts=(text, *rest))
