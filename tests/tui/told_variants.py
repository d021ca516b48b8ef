"""Several answers at once as they are told of, without anybody who makes them."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from chatbot.conversation.variants.parting import num_same
from chatbot.events import (
    BeamsShown,
    Parting,
    PromptBuilt,
    VariantFinished,
    VariantPlan,
    VariantsEvent,
    VariantsFinished,
    VariantsKind,
    VariantsStarted,
    VariantTextDelta,
)
from chatbot.messages import FinishReason, Making, Message, Statistics, TextPart
from chatbot.settings import Sampling
from chatbot.tokens import Beam

QUESTION = Message(role="user", parts=(TextPart("Where is the lighthouse?"),), id="question")

TEXTS = (
    "It stands on the rock behind the harbour, and its light is seen for twenty miles.",
    "It stands on the cliff above the old town, where nobody lives any more.",
    "Nobody knows. The keeper left in the winter, and the light went out with him.",
    "It stands on the rock behind the harbour, and its light is seen for twenty miles.",
)


def plans(labels: Sequence[str]) -> tuple[VariantPlan, ...]:
    return tuple(
        VariantPlan(answer_id=f"answer{n}", number=n, label=label)
        for n, label in enumerate(labels, 1)
    )


def answer(index: int, text: str, reason: FinishReason = "stop", score: float = 0.0) -> Message:
    statistics = Statistics(
        num_prompt_tokens=42,
        num_cached_tokens=30,
        num_new_tokens=len(text.split()),
        first_token_seconds=0.1,
        decode_seconds=1.5,
    )
    making = Making(
        model="m",
        precision="fp32",
        device="cpu",
        sampling=Sampling(),
        finish_reason=reason,
        statistics=statistics,
        score=score,
    )
    return Message(
        role="assistant",
        parts=(TextPart(text),),
        id=f"answer{index + 1}",
        parent_id=QUESTION.id,
        making=making,
    )


PROMPT = PromptBuilt(
    num_prompt_tokens=42,
    num_system_tokens=10,
    num_history_tokens=0,
    num_question_tokens=28,
    context_length=8192,
    room=1024,
)


def words_of(text: str) -> list[str]:
    first, *rest = text.split(" ")
    return [first, *(f" {word}" for word in rest)]


async def told(
    labels: Sequence[str],
    texts: Sequence[str] = TEXTS,
    *,
    kind: VariantsKind = "variants",
    gate: asyncio.Event | None = None,
    half: int = 6,
    end: asyncio.Event | None = None,
) -> AsyncGenerator[VariantsEvent]:
    """Each answer a word at a time, all of them at once.

    Args:
        labels: one for each answer.
        texts: what they say.
        kind: why there are several.
        gate: is waited for after so many words of each as ``half`` says.
        half: see ``gate``.
        end: the first answer is complete, and this is waited for.
    """
    texts = texts[: len(labels)]
    yield VariantsStarted(question=QUESTION, kind=kind, plans=plans(labels))
    yield PROMPT
    pieces = [words_of(text) for text in texts]
    for number in range(max(map(len, pieces))):
        if number == half and gate:
            await gate.wait()
        for index, words in enumerate(pieces):
            if number < len(words):
                yield VariantTextDelta(index, words[number], number + 1)
                await asyncio.sleep(0)
    answers = tuple(answer(index, text) for index, text in enumerate(texts))
    for index, each in enumerate(answers):
        yield VariantFinished(index, each)
        if end and index == 0:
            await end.wait()
    parted = [None if text == texts[0] else num_same(texts[0], text) for text in texts]
    yield VariantsFinished(
        answers=answers,
        kept_id=answers[0].id,
        partings=tuple(
            Parting(index=i, character=place, token=None if place is None else place // 5)
            for i, place in enumerate(parted)
            if i
        ),
        num_prompt_tokens=42,
        num_read_tokens=12,
        num_new_tokens=60,
        seconds=2.0,
    )


BEAM_STEPS = (
    ("It stands", ((" on", -1.5), (" there", -2.5), (" high", -4.0))),
    ("It stands on the", ((" rock", -2.25), (" cliff", -3.0), (" hill", -6.0))),
    ("It stands on the rock", ((" behind the harbour.", -4.5), (", they say.", -5.0), (".", -9.0))),
)


async def told_beams(gate: asyncio.Event | None = None) -> AsyncGenerator[VariantsEvent]:
    """A beam search with three beams, each step of which comes at once."""
    yield VariantsStarted(
        question=QUESTION, kind="beams", plans=plans(["beam 1", "beam 2", "beam 3"])
    )
    yield PROMPT
    for number, (start, ends) in enumerate(BEAM_STEPS, 2):
        live = tuple(
            Beam(start + rest, log_probability, log_probability / number, number, index % 2)
            for index, (rest, log_probability) in enumerate(ends)
        )
        finished = (Beam("It stands there.", -3.5, -0.875, 4, 0),) if number > 3 else ()
        yield BeamsShown(num_tokens=number, live=live, finished=finished)
        if number == 3 and gate:
            await gate.wait()
    found = ("It stands there.", "It stands on the rock behind the harbour.", "It stands on high.")
    answers = tuple(
        answer(index, text, score=-0.875 - index / 4) for index, text in enumerate(found)
    )
    for index, each in enumerate(answers):
        yield VariantTextDelta(index, each.text, 4)
        yield VariantFinished(index, each)
    yield VariantsFinished(answers=answers, kept_id=answers[0].id, num_new_tokens=12, seconds=0.5)
