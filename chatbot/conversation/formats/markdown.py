"""A branch of a chat as a Markdown document, to be read by people."""

from typing import Final

from chatbot.conversation.making_words import beam_words, drawn_with
from chatbot.conversation.source_block import sources_of
from chatbot.fencing import fenced
from chatbot.messages import (
    FilePart,
    FinishReason,
    ImagePart,
    Making,
    Message,
    Part,
    SourcesPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)

_ENDS: Final[dict[FinishReason, str]] = {
    "cancelled": "stopped",
    "length": "cut at the longest length",
    "interrupted": "interrupted",
    "error": "broke off with an error",
}
"""How an answer ended that did not come to its end."""

_NAMES = {"user": "You", "assistant": "Assistant", "system": "System"}


def to_markdown(path: tuple[Message, ...], title: str = "") -> str:
    """The messages, each below a heading that says whose it is."""
    sections = [f"# {title}\n"] if title else []
    for message in path:
        made = message.making
        by = ", ".join(filter(None, (made.model, made.precision))) if made else ""
        heading = f"## {_NAMES[message.role]}" + (f" ({by})" if by else "")
        about = f"*{' · '.join(words)}*" if made and (words := _how_made(made)) else ""
        body = "\n\n".join(filter(None, [about, *map(_as_markdown, _in_order(message))]))
        sections.append(f"{heading}\n\n{body}\n")
    return "\n".join(sections)


def _how_made(made: Making) -> list[str]:
    """What else there is to say of how an answer came about, beside model and precision."""
    words = [beam_words(made)] if made.num_beams else []
    words += [f"{name} {value}" for name, value in drawn_with(made).items()]
    words += [f"{c.name} {c.old} → {c.new} after {c.offset:,} characters" for c in made.changes]
    if end := _ENDS.get(made.finish_reason):
        words.append(end)
    return words


def _in_order(message: Message) -> list[Part]:
    """The parts as they are read: marks in the text, and the list of sources below it."""
    found = sources_of(message)
    if found is None:
        return list(message.parts)
    rest = [part for part in message.parts if not isinstance(part, SourcesPart)]
    texts = [part for part in rest if isinstance(part, TextPart)]
    if len(texts) == 1:
        # Not before something is exported: the first frame has no use for it.
        from chatbot.conversation.citations import with_citations

        marked = TextPart(with_citations(texts[0].text, found))
        rest = [marked if part is texts[0] else part for part in rest]
    return [*rest, found]


def _as_markdown(part: Part) -> str:
    match part:
        case TextPart(text=text):
            return text.strip()
        case ThinkingPart(text=text):
            return "\n".join(f"> {line}".rstrip() for line in text.strip().splitlines())
        case SourcesPart(notice=notice):
            from chatbot.conversation.citations import source_lines

            lines = [f"- \\{line}" for line in source_lines(part)]
            if lines:
                lines = ["Sources:", "", *lines]
            return "\n".join([*lines, *(["", f"*({notice})*"] if notice else [])]).strip()
        case ToolCallPart(name=name, arguments=arguments):
            return f"Tool `{name}`:\n\n{fenced(arguments)}"
        case ToolResultPart(text=text):
            return f"Result:\n\n{fenced(text)}"
        case FilePart(name=name, text=text):
            return f"File `{name}`:\n\n{fenced(text)}"
        case ImagePart(media_type=media_type):
            return f"*(a picture: {media_type})*"
