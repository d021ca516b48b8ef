"""An answer's Markdown as it is shown: with the marks of its sources and of changed settings.

Pure text in, text out; what is kept stays what the model wrote.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from chatbot.conversation.source_block import sources_of
from chatbot.messages import Message, SentenceSupport, TextPart
from chatbot.tui.chat.setting_marks import Insertion, insertions, with_insertions

_BOUNDARY: Final = "\0"
"""Stands, on the way, where one part of the text ends; nothing that is clean has it."""


def marked_texts(message: Message) -> list[str]:
    """The parts of a finished answer's text, with all their marks."""
    changes = message.making.changes if message.making else ()
    inserted, end = insertions(message.text, changes, is_complete=True)
    inserted = sorted([*_boundaries(message), *inserted], key=lambda insertion: insertion.place)
    text = with_insertions(message.text[:end], inserted)
    found = sources_of(message)
    if found is not None:
        # Only where there are sources: the first frame has no use for it.
        from chatbot.conversation.citations import with_citations

        support = tuple(shifted(sentence, inserted) for sentence in found.support)
        text = with_citations(text, msgspec.structs.replace(found, support=support))
    return text.split(_BOUNDARY)


def _boundaries(message: Message) -> list[Insertion]:
    places, length = [], 0
    for part in message.parts:
        if isinstance(part, TextPart):
            places.append(length)
            length += len(part.text)
    return [Insertion(place, _BOUNDARY) for place in places[1:]]


def shifted(sentence: SentenceSupport, inserted: Sequence[Insertion]) -> SentenceSupport:
    """Where a sentence stands once something was inserted before it or into it."""
    start = sum(len(text) for place, text in inserted if place <= sentence.start)
    end = sum(len(text) for place, text in inserted if place < sentence.end)
    return msgspec.structs.replace(sentence, start=sentence.start + start, end=sentence.end + end)
