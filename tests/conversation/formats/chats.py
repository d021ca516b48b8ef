"""Chats of any shape, for property tests."""

import math

from hypothesis import strategies as st

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
    Statistics,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)
from chatbot.settings import Sampling
from chatbot.store.values import ChatInfo, StoredChat
from chatbot.terminal_text import clean, clean_line

texts = st.text(max_size=40).map(clean)
lines = st.text(max_size=20).map(clean_line)
ids = st.text("abcdefXYZ0123456789-_", min_size=1, max_size=12)
times = st.floats(1e9, 2e9).filter(math.isfinite)
numbers = st.floats(-1e6, 1e6)
counts = st.integers(0, 99)
scores = st.builds(
    SourceScores,
    lexical=st.none() | numbers,
    dense=st.none() | numbers,
    fused=numbers,
    reranked=st.none() | numbers,
    relevance=numbers,
)
sources = st.builds(
    Source,
    title=lines,
    location=lines,
    text=texts,
    folder=lines,
    file=lines,
    start_line=counts,
    end_line=counts,
    page=st.none() | counts,
    start=counts,
    end=counts,
    scores=scores,
    verdict=st.sampled_from(["used", "duplicate", "irrelevant", "beyond"]),
)
supports = st.builds(
    SentenceSupport, start=counts, end=counts, source=st.none() | st.just(0), score=numbers
)
parts: st.SearchStrategy[Part] = st.one_of(
    st.builds(TextPart, texts),
    st.builds(ThinkingPart, texts),
    st.builds(
        SourcesPart,
        st.lists(sources, min_size=1, max_size=2).map(tuple),
        candidates=st.lists(sources, max_size=2).map(tuple),
        support=st.lists(supports, max_size=2).map(tuple),
        query=texts,
        threshold=numbers,
        is_declined=st.booleans(),
        notice=lines,
        seconds=numbers,
    ),
    st.builds(ToolCallPart, id=lines, name=lines, arguments=texts),
    st.builds(ToolResultPart, call_id=lines, text=texts, is_error=st.booleans()),
    st.builds(FilePart, name=lines, kind=lines, text=texts),
    st.builds(ImagePart, media_type=lines, data=st.binary(max_size=20)),
)
makings = st.builds(
    Making,
    model=lines,
    precision=lines,
    device=lines,
    sampling=st.builds(Sampling, temperature=st.floats(0, 2), seed=st.none() | st.integers(0, 9)),
    changes=st.lists(
        st.builds(SettingChange, offset=st.integers(0, 9), name=lines, old=lines, new=lines),
        max_size=2,
    ).map(tuple),
    finish_reason=st.sampled_from(["stop", "length", "cancelled", "error", "interrupted"]),
    error=lines,
    statistics=st.none()
    | st.builds(
        Statistics,
        num_prompt_tokens=st.integers(0, 99),
        num_cached_tokens=st.integers(0, 99),
        num_new_tokens=st.integers(0, 99),
        first_token_seconds=st.floats(0, 9),
        decode_seconds=st.floats(0, 9),
    ),
    num_controls_removed=st.integers(0, 9),
    is_by_program=st.booleans(),
)


@st.composite
def chats(draw: st.DrawFn) -> StoredChat:
    """A tree of messages, all of it legal."""
    names = draw(st.lists(ids, min_size=1, max_size=8, unique=True))
    messages: list[Message] = []
    for index, name in enumerate(names):
        parent = draw(st.none() | st.sampled_from(names[:index])) if index else None
        role = draw(st.sampled_from(["user", "assistant", "system"]))
        messages.append(
            Message(
                id=name,
                role=role,
                parts=draw(st.lists(parts, min_size=1, max_size=3).map(tuple)),
                parent_id=parent,
                created_at=draw(times),
                making=draw(makings) if role == "assistant" else None,
            )
        )
    info = ChatInfo(
        id=draw(ids),
        title=draw(lines),
        is_title_given=draw(st.booleans()),
        created_at=draw(times),
        updated_at=draw(times),
        is_pinned=draw(st.booleans()),
    )
    return StoredChat(
        info=info,
        messages=tuple(messages),
        active_leaf=draw(st.none() | st.sampled_from(names)),
        pinned=tuple(name for name in names if draw(st.booleans())),
    )


def turns(with_tools: bool) -> st.SearchStrategy[list[tuple[str, list[Part]]]]:
    """Questions and answers in turn, as the formats of one branch have them."""
    words = st.builds(TextPart, texts.filter(bool))
    call = st.builds(ToolCallPart, id=lines, name=lines, arguments=texts)
    result = st.builds(ToolResultPart, call_id=lines, text=texts)
    step = st.tuples(words, call, result, words).map(list)
    answer = (words.map(lambda part: [part]) | step) if with_tools else words.map(lambda p: [p])
    exchange = st.tuples(words.map(lambda part: [part]), answer)
    return st.lists(exchange, min_size=1, max_size=4).map(
        lambda pairs: [turn for q, a in pairs for turn in (("user", q), ("assistant", a))]
    )
