"""A conversation as a file: Markdown to read, JSON to go on with.

The JSON form holds every branch. Reading checks and cleans all of it before any of it is
used, so that a broken or hostile file yields an error and never half a conversation.
"""

from pathlib import Path

import msgspec

from chatbot.conversation.tree import Conversation
from chatbot.errors import CommandError
from chatbot.messages import Message, TextPart
from chatbot.terminal_text import clean, clean_line

FORMAT = "chatbot-conversation"


class _Saved(msgspec.Struct, kw_only=True, tag_field="format", tag=FORMAT):
    version: int = 1
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
        saved = msgspec.json.decode(file.expanduser().read_bytes(), type=_Saved)
        conversation = Conversation()
        for message in saved.messages:
            conversation.add(_cleaned(message))
        conversation.show(saved.active_leaf)
    except OSError as error:
        raise CommandError(f"{name} cannot be read: {error.strerror}.") from error
    except (msgspec.MsgspecError, ValueError, KeyError) as error:
        reason = clean_line(str(error))
        raise CommandError(f"{name} is not a conversation saved by /save: {reason}") from error
    return conversation


def write_text(file: Path, text: str) -> None:
    """Write a new file; one that exists is never overwritten.

    Raises:
        CommandError: it exists, or cannot be written.
    """
    name = clean_line(str(file))
    try:
        with file.expanduser().open("x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        raise CommandError(f"{name} exists already; name another file.") from None
    except OSError as error:
        raise CommandError(f"{name} cannot be written: {error.strerror}.") from error


def _cleaned(message: Message) -> Message:
    parts = tuple(TextPart(clean(p.text)) for p in message.parts if isinstance(p, TextPart))
    making = message.making
    if making is not None:
        making = msgspec.structs.replace(
            making,
            model=clean_line(making.model),
            device=clean_line(making.device),
            error=clean_line(making.error),
        )
    return msgspec.structs.replace(message, parts=parts, making=making)
