"""Sources in files of chats: read by people, and read from strangers."""

import msgspec

from chatbot.conversation.formats.cleaning import checked_chat
from chatbot.conversation.formats.markdown import to_markdown
from chatbot.messages import Message, SentenceSupport, Source, SourceScores, SourcesPart, TextPart
from chatbot.store.values import ChatInfo
from chatbot.terminal_text import is_safe

ANSWER = "It is high. It is pink [9]."
PART = SourcesPart(
    sources=(Source(title="Tower", location="a.md:1", text="The tower is high."),),
    support=(
        SentenceSupport(start=0, end=11, source=0, score=0.9),
        SentenceSupport(start=12, end=27, source=None, score=0.1),
    ),
)


def answer(part: SourcesPart) -> Message:
    return Message(role="assistant", parts=(part, TextPart(ANSWER)), id="a")


def test_markdown_shows_marks_and_below_the_answer_its_sources() -> None:
    part = msgspec.structs.replace(PART, notice="Words only.")
    assert to_markdown((answer(part),)) == (
        "## Assistant\n\nIt is high. \\[1] It is pink. \\[?]\n\n"
        "Sources:\n\n- \\[1] a.md:1 · Tower\n\n*(Words only.)*\n"
    )
    assert answer(part).text == ANSWER


def test_an_answer_without_sources_has_no_list() -> None:
    assert to_markdown((answer(SourcesPart(sources=())),)) == f"## Assistant\n\n{ANSWER}\n"


def test_every_field_from_outside_is_cleaned() -> None:
    evil = "a\x1b]52;c;aGk=\x07\nb\u202e"
    source = Source(
        title=evil,
        location=evil,
        text=evil,
        folder=evil,
        file=evil,
        start_line=-1,
        end_line=-1,
        start=-5,
        end=-5,
        scores=SourceScores(dense=float("nan"), relevance=float("inf")),
    )
    part = SourcesPart(
        sources=(source,),
        candidates=(source,),
        support=(SentenceSupport(start=-1, end=-1, source=7, score=float("nan")),),
        query=evil,
        notice=evil,
        threshold=float("inf"),
    )
    (message,) = checked_chat(ChatInfo(id="c"), [answer(part)]).messages
    (cleaned, _) = message.parts
    assert isinstance(cleaned, SourcesPart)
    for found in (*cleaned.sources, *cleaned.candidates):
        for text in (found.title, found.location, found.text, found.folder, found.file):
            assert is_safe(text)
        assert min(found.start_line, found.end_line, found.start, found.end) == 0
        assert (found.scores.dense, found.scores.relevance) == (0.0, 0.0)
    assert cleaned.support == (SentenceSupport(start=0, end=0, source=None, score=0.0),)
    assert is_safe(cleaned.query + cleaned.notice)
    assert cleaned.threshold == 0.0
    assert "\n" not in cleaned.notice + cleaned.sources[0].location
