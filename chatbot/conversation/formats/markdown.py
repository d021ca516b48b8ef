"""A branch of a chat as a Markdown document, to be read by people."""

from chatbot.messages import (
    ImagePart,
    Message,
    Part,
    SourcesPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)

_NAMES = {"user": "You", "assistant": "Assistant", "system": "System"}


def to_markdown(path: tuple[Message, ...], title: str = "") -> str:
    """The messages, each below a heading that says whose it is."""
    sections = [f"# {title}\n"] if title else []
    for message in path:
        made = message.making
        by = ", ".join(filter(None, (made.model, made.precision))) if made else ""
        heading = f"## {_NAMES[message.role]}" + (f" ({by})" if by else "")
        body = "\n\n".join(filter(None, map(_as_markdown, message.parts)))
        sections.append(f"{heading}\n\n{body}\n")
    return "\n".join(sections)


def _as_markdown(part: Part) -> str:
    match part:
        case TextPart(text=text):
            return text.strip()
        case ThinkingPart(text=text):
            return "\n".join(f"> {line}".rstrip() for line in text.strip().splitlines())
        case SourcesPart(sources=sources):
            return "\n".join(
                f"{number}. {source.title} ({source.location})"
                for number, source in enumerate(sources, 1)
            )
        case ToolCallPart(name=name, arguments=arguments):
            return f"Tool `{name}`:\n\n{_fenced(arguments)}"
        case ToolResultPart(text=text):
            return f"Result:\n\n{_fenced(text)}"
        case ImagePart(media_type=media_type):
            return f"*(a picture: {media_type})*"


def _fenced(text: str) -> str:
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}\n{text}\n{fence}"
