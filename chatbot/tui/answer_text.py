"""An answer's Markdown as it is shown: with the marks of its sources and of changed settings.

Pure text in, text out; what is kept stays what the model wrote.
"""

from collections.abc import Sequence

import msgspec

from chatbot.conversation.source_block import sources_of
from chatbot.messages import Message, SentenceSupport
from chatbot.tui.setting_marks import Insertion, insertions, with_insertions


def marked_text(message: Message) -> str:
    """A finished answer with all its marks."""
    changes = message.making.changes if message.making else ()
    inserted, end = insertions(message.text, changes, is_complete=True)
    text = with_insertions(message.text[:end], inserted)
    found = sources_of(message)
    if found is None:
        return text
    # Only where there are sources: the first frame has no use for it.
    from chatbot.conversation.citations import with_citations

    support = tuple(shifted(sentence, inserted) for sentence in found.support)
    return with_citations(text, msgspec.structs.replace(found, support=support))


def shifted(sentence: SentenceSupport, inserted: Sequence[Insertion]) -> SentenceSupport:
    """Where a sentence stands once something was inserted before it or into it."""
    start = sum(len(text) for place, text in inserted if place <= sentence.start)
    end = sum(len(text) for place, text in inserted if place < sentence.end)
    return msgspec.structs.replace(sentence, start=sentence.start + start, end=sentence.end + end)
