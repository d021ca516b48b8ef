"""A conversation as a file: Markdown to read, JSON to go on with.

The JSON form holds every branch. Reading checks and cleans all of it before any of it is
used, so that a broken or hostile file yields an error and never half a conversation.
"""

import stat
from pathlib import Path
from typing import Final, Literal

import msgspec

from chatbot.conversation.tree import Conversation
from chatbot.errors import CommandError
from chatbot.messages import Message, SettingChange, TextPart
from chatbot.terminal_text import clean, clean_line, is_safe

FORMAT: Final = "chatbot-conversation"

MAX_FILE_BYTES: Final = 256 * 2**20
"""Longest file that is opened; a long chat takes a few megabytes."""


class _Saved(msgspec.Struct, kw_only=True, tag_field="format", tag=FORMAT):
    version: Literal[1] = 1
    active_leaf: str | None
    messages: tuple[Message, ...]


def to_markdown(conversation: Conversation) -> str:
    """The branch that is shown, as a Markdown document."""
    sections = []
    for message in conversation.path():
        name = "You" if message.role == "user" else "Assistant"
        made = message.making
        by = f" ({made.model}, {made.precision})" if made else ""
        sections.append(f"## {name}{by}\n\n{message.text.strip()}\n")
    return "\n".join(sections)


def save(conversation: Conversation, file: Path) -> None:
    """Write all branches to ``file`` as JSON.

    Raises:
        CommandError: the file cannot be written.
    """
    saved = _Saved(active_leaf=conversation.active_leaf, messages=conversation.messages())
    write_text(file, msgspec.json.format(msgspec.json.encode(saved), indent=1).decode())


def load(file: Path) -> Conversation:
    """Read what ``save`` wrote.

    Raises:
        CommandError: the file cannot be read, or is not such a file.
    """
    name = clean_line(str(file))
    try:
        saved = msgspec.json.decode(_read_bytes(file), type=_Saved)
        conversation = Conversation()
        for message in saved.messages:
            conversation.add(_checked(message))
        conversation.show(saved.active_leaf)
    except OSError as error:
        raise CommandError(f"{name} cannot be read: {error.strerror}.") from error
    except KeyError as error:
        raise CommandError(
            f"{name} is not a conversation saved by /save: the message to show is not in it."
        ) from error
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        reason = clean_line(str(error)).rstrip(".")
        raise CommandError(f"{name} is not a conversation saved by /save: {reason}.") from error
    return conversation


def _read_bytes(file: Path) -> bytes:
    """What is in ``file``; a pipe or a device would be waited for, or read, for ever."""
    file = _expanded(file)
    status = file.stat()
    if stat.S_ISDIR(status.st_mode):
        raise ValueError("it is a folder")
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is no regular file")
    if status.st_size > MAX_FILE_BYTES:
        raise ValueError("it is far too long")
    return file.read_bytes()


def write_text(file: Path, text: str) -> None:
    """Write a new file; one that exists is never overwritten.

    Raises:
        CommandError: it exists, or cannot be written.
    """
    name = clean_line(str(file))
    file = _expanded(file)
    try:
        with file.open("xb") as out:
            try:
                out.write(text.encode())
                out.flush()
            except OSError:
                file.unlink()  # half a file is none, and would be in the way of the next try
                raise
    except FileExistsError:
        raise CommandError(f"{name} exists already; name another file.") from None
    except OSError as error:
        raise CommandError(f"{name} cannot be written: {error.strerror}.") from error


def _expanded(file: Path) -> Path:
    """``file`` with a leading ``~`` spelled out, where there is such a user."""
    try:
        return file.expanduser()
    except RuntimeError:
        return file


def _checked(message: Message) -> Message:
    """The message with its texts cleaned.

    Raises:
        ValueError: it is none that this program can have written.
    """
    if message.role == "system":
        raise ValueError("a message has the role of the system prompt")
    if not is_safe(message.id):
        raise ValueError("a message's id holds control characters")
    parts = tuple(TextPart(clean(part.text)) for part in message.parts)
    making = message.making
    if making is not None:
        making = msgspec.structs.replace(
            making,
            model=clean_line(making.model),
            precision=clean_line(making.precision),
            device=clean_line(making.device),
            error=clean_line(making.error),
            changes=tuple(map(_cleaned_change, making.changes)),
        )
    return msgspec.structs.replace(message, parts=parts, making=making)


def _cleaned_change(change: SettingChange) -> SettingChange:
    return SettingChange(
        offset=max(change.offset, 0),
        name=clean_line(change.name),
        old=clean_line(change.old),
        new=clean_line(change.new),
    )
