"""Makes what a file says about a chat safe and consistent, or says why it cannot be.

Everything from outside goes through ``checked_chat`` before anything else sees it.
"""

import math
import re
import time
import uuid
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from chatbot.errors import FormatError
from chatbot.messages import (
    FilePart,
    ImagePart,
    Making,
    Message,
    Part,
    SentenceSupport,
    SettingChange,
    Source,
    SourceScores,
    SourcesPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)
from chatbot.settings import Sampling
from chatbot.store.cleaning import LATEST_TIME
from chatbot.store.values import ChatInfo, StoredChat
from chatbot.terminal_text import clean, clean_line

_SAFE_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_NAMESPACE: Final = uuid.UUID("0b6c1f0e-3d0b-4b5e-8a53-6f2f0b8d8f31")


class EmptyChatError(FormatError):
    """There is no message in a chat, and so nothing to import."""


def checked_chat(
    info: ChatInfo,
    messages: Sequence[Message],
    active_leaf: str | None = None,
    pinned: Sequence[str] = (),
) -> StoredChat:
    """A chat out of what a file says, in which everything fits together.

    Ids that could not be typed or shown are replaced; missing titles and times are made up.

    Args:
        info: as the file has it.
        messages: in any order.
        active_leaf: None, where the file does not say, shows the newest branch.
        pinned: ids of pinned messages.

    Raises:
        FormatError: an id occurs twice, a parent is missing, the messages form a loop, or
            there is none (EmptyChatError).
    """
    name = clean_line(info.title or info.id, 60) or "without a name"
    if not messages:
        raise EmptyChatError(f"The chat {name!r} has no messages.")
    ordered = _parents_first(messages, name)
    for wanted in (active_leaf, *pinned):
        if wanted is not None and wanted not in ordered:
            raise FormatError(f"The chat {name!r} refers to a message that it does not have.")
    begun = min((m.created_at for m in ordered.values() if _is_time(m.created_at)), default=None)
    created_at = info.created_at if _is_time(info.created_at) else begun or time.time()
    cleaned = tuple(_cleaned(message, created_at) for message in ordered.values())
    last = max(message.created_at for message in cleaned)
    return StoredChat(
        info=ChatInfo(
            id=safe_id(info.id),
            title=clean_line(info.title),
            is_title_given=info.is_title_given,
            created_at=created_at,
            updated_at=info.updated_at if _is_time(info.updated_at) else last,
            is_pinned=info.is_pinned,
        ),
        messages=cleaned,
        active_leaf=safe_id(active_leaf) if active_leaf is not None else cleaned[-1].id,
        pinned=tuple(message.id for message in cleaned if message.id in set(map(safe_id, pinned))),
    )


def safe_id(raw: str) -> str:
    """``raw`` if it is a harmless id, else one that is always made of it."""
    return raw if _SAFE_ID.match(raw) else uuid.uuid5(_NAMESPACE, ascii(raw)).hex


def content_id(*content: Any) -> str:
    """An id for something that has none, so that the same content has the same one."""
    return uuid.uuid5(_NAMESPACE, msgspec.json.encode(content).decode()).hex


def made_by(model: str | None) -> Making | None:
    """How an answer was made of which no more is known than the model; None without that."""
    if not model:
        return None
    return Making(model=clean_line(model), precision="", device="", sampling=Sampling())


def part_of_image(media_type: str, data: bytes) -> ImagePart:
    """A picture, its type cleaned."""
    return ImagePart(media_type=clean_line(media_type, 80), data=data)


def _parents_first(messages: Sequence[Message], name: str) -> dict[str, Message]:
    """The messages by id, parents before children, otherwise in the order they came."""
    by_id: dict[str, Message] = {}
    for message in messages:
        if message.id in by_id:
            raise FormatError(f"The chat {name!r} has two messages with one id.")
        by_id[message.id] = message
    children: dict[str | None, list[Message]] = {}
    for message in messages:
        if message.parent_id is not None and message.parent_id not in by_id:
            raise FormatError(f"The chat {name!r} has a message whose parent is missing.")
        children.setdefault(message.parent_id, []).append(message)
    if _is_in_order(messages):
        return by_id
    ordered: dict[str, Message] = {}
    waiting = list(reversed(children.get(None, [])))
    while waiting:
        message = waiting.pop()
        ordered[message.id] = message
        waiting += reversed(children.get(message.id, []))
    if len(ordered) < len(by_id):
        raise FormatError(f"The messages of the chat {name!r} form a loop.")
    return ordered


def _is_in_order(messages: Sequence[Message]) -> bool:
    seen: set[str | None] = {None}
    for message in messages:
        if message.parent_id not in seen:
            return False
        seen.add(message.id)
    return True


def _cleaned(message: Message, default_time: float) -> Message:
    making = message.making
    return msgspec.structs.replace(
        message,
        id=safe_id(message.id),
        parent_id=None if message.parent_id is None else safe_id(message.parent_id),
        created_at=message.created_at if _is_time(message.created_at) else default_time,
        parts=tuple(map(_cleaned_part, message.parts)) or (TextPart(""),),
        making=None if making is None else _cleaned_making(making),
    )


def _cleaned_part(part: Part) -> Part:
    match part:
        case TextPart(text=text):
            return TextPart(clean(text), is_foreign=True)
        case ThinkingPart(text=text):
            return msgspec.structs.replace(part, text=clean(text))
        case SourcesPart():
            return _cleaned_sources(part)
        case ToolCallPart(id=call_id, name=name, arguments=arguments):
            # Without the model's own tokens: those of a stranger could pass for a template's.
            return ToolCallPart(
                id=clean_line(call_id), name=clean_line(name), arguments=clean(arguments)
            )
        case ToolResultPart():
            return msgspec.structs.replace(
                part,
                call_id=clean_line(part.call_id),
                text=clean(part.text),
                seconds=max(0.0, _number(part.seconds)),
                approved_by=clean_line(part.approved_by, 40),
            )
        case FilePart(name=name, kind=kind, text=text):
            return FilePart(name=clean_line(name, 1000), kind=clean_line(kind), text=clean(text))
        case ImagePart(media_type=media_type, data=data):
            return part_of_image(media_type, data)


def _cleaned_sources(part: SourcesPart) -> SourcesPart:
    sources = tuple(map(_cleaned_source, part.sources))
    return SourcesPart(
        sources=sources,
        candidates=tuple(map(_cleaned_source, part.candidates)),
        support=tuple(
            SentenceSupport(
                start=max(0, sentence.start),
                end=max(0, sentence.end),
                source=_index_in(sources, sentence.source),
                score=_number(sentence.score),
            )
            for sentence in part.support
        ),
        query=clean(part.query),
        threshold=_number(part.threshold),
        is_declined=part.is_declined,
        notice=clean_line(part.notice, 1000),
        seconds=_number(part.seconds),
    )


def _index_in(sources: Sequence[Source], index: int | None) -> int | None:
    return index if index is not None and 0 <= index < len(sources) else None


def _number(value: float) -> float:
    return value if math.isfinite(value) else 0.0


def _cleaned_source(source: Source) -> Source:
    scores = source.scores
    return msgspec.structs.replace(
        source,
        title=clean_line(source.title),
        location=clean_line(source.location, 1000),
        text=clean(source.text),
        folder=clean_line(source.folder, 4096),
        file=clean_line(source.file, 4096),
        start_line=max(0, source.start_line),
        end_line=max(0, source.end_line),
        start=max(0, source.start),
        end=max(0, source.end),
        scores=SourceScores(
            lexical=None if scores.lexical is None else _number(scores.lexical),
            dense=None if scores.dense is None else _number(scores.dense),
            fused=_number(scores.fused),
            reranked=None if scores.reranked is None else _number(scores.reranked),
            relevance=_number(scores.relevance),
        ),
    )


def _cleaned_making(making: Making) -> Making:
    return msgspec.structs.replace(
        making,
        model=clean_line(making.model),
        precision=clean_line(making.precision),
        device=clean_line(making.device),
        adapters=tuple(clean_line(adapter) for adapter in making.adapters),
        error=clean_line(making.error, 1000),
        varied=tuple(clean_line(name) for name in making.varied),
        changes=tuple(
            # Without its place among the tokens, since these do not come along.
            SettingChange(
                offset=change.offset,
                name=clean_line(change.name),
                old=clean_line(change.old),
                new=clean_line(change.new),
            )
            for change in making.changes
        ),
    )


def _is_time(seconds: float) -> bool:
    return math.isfinite(seconds) and 0 < seconds < LATEST_TIME
