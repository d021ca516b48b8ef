"""Several answers to one prompt in one batch, on tiny models with random weights."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from transformers import AutoModelForCausalLM

from chatbot.engine.answer import answer
from chatbot.engine.decode.batch import Batch
from chatbot.engine.decode.cpu.kernels.block_products import MAX_FEW
from chatbot.engine.device_sampling import DeviceSampler
from chatbot.engine.drawing import DrawingRun
from chatbot.engine.finding import find_model
from chatbot.engine.history import TokenHistory
from chatbot.engine.inbox import Control
from chatbot.engine.kv_cache import CachedModel
from chatbot.engine.loading import LoadedModel, load
from chatbot.engine.protocol.answer import Delta, Generate, Generated
from chatbot.engine.protocol.messages import ChatMessage
from chatbot.engine.protocol.variants import (
    MAX_VARIANTS,
    BeamsMoved,
    GenerateVariants,
    SearchBeams,
    VariantDelta,
    VariantDone,
    VariantEvent,
    VariantSamplingApplied,
    VariantsGenerated,
    VariantsHeld,
    VariantTokens,
)
from chatbot.engine.recording import Recorder, TokenTexts
from chatbot.engine.sampling import Sampler
from chatbot.engine.variants.answers import answer_variants
from chatbot.engine.variants.beam_recording import BeamRecorder
from chatbot.engine.variants.beams import search_beams
from chatbot.errors import ContextError, ModelError
from chatbot.settings import Precision, Sampling
from chatbot.tokens import TokenRecord
from tests.engine.captures import NoDoubles
from tests.engine.families import FAMILIES, Family
from tests.engine.tiny_models import make_gpt2, make_llama

CPU = torch.device("cpu")
QUESTION = (ChatMessage("user", "What is the capital of France? " * 16),)
PROMPT = [(7 * n) % 390 + 3 for n in range(300)]
HOT = Sampling(temperature=1.2, top_k=0, top_p=1, max_tokens=20)


def quiet(stage: str, fraction: float | None) -> None:
    """Report nothing."""


def open_model(folder: Path, precision: Precision = "fp32") -> LoadedModel:
    return load(find_model(str(folder), quiet), precision, CPU, quiet)


@pytest.fixture(scope="module")
def loaded(tiny_folder: Path) -> LoadedModel:
    return open_model(tiny_folder)


def seeds(*numbers: int) -> tuple[Sampling, ...]:
    return tuple(msgspec.structs.replace(HOT, seed=number) for number in numbers)


def alone(loaded: LoadedModel, sampling: Sampling) -> tuple[str, str]:
    """The answer by itself, and why it ended."""
    loaded.cached.clear()
    request = Generate(messages=QUESTION, sampling=sampling)
    *events, last = answer(loaded, request, Control(sampling))
    assert isinstance(last, Generated)
    text = "".join(event.text for event in events if isinstance(event, Delta))
    return text, last.finish_reason


def texts_of(events: list[VariantEvent], number: int) -> list[str]:
    deltas = [event for event in events if isinstance(event, VariantDelta)]
    return ["".join(d.text for d in deltas if d.variant == index) for index in range(number)]


def done(events: list[VariantEvent]) -> dict[int, VariantDone]:
    return {event.variant: event for event in events if isinstance(event, VariantDone)}


def test_each_answer_of_a_batch_is_the_one_it_would_be_alone(loaded: LoadedModel) -> None:
    samplings = (
        Sampling(temperature=0, max_tokens=24),
        *seeds(1, 2),
        Sampling(temperature=0.8, top_k=5, seed=3, max_tokens=9),
        Sampling(temperature=0, max_tokens=24, no_repeat_ngram_size=2, repetition_penalty=1.3),
    )
    expected = [alone(loaded, sampling) for sampling in samplings]
    loaded.cached.clear()
    request = GenerateVariants(id=5, messages=QUESTION, samplings=samplings)
    events = list(answer_variants(loaded, request, Control(Sampling())))
    found = zip(texts_of(events, 5), (done(events)[n].finish_reason for n in range(5)), strict=True)
    assert list(found) == expected
    assert len({text for text, _ in expected}) == 5
    assert all(event.request_id == 5 for event in events)
    assert isinstance(events[-1], VariantsGenerated)


def test_a_seed_is_the_same_answer_alone_and_beside_others_on_a_device(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def on_device(_: CachedModel, history: TokenHistory) -> DeviceSampler:
        return DeviceSampler(history, CPU, lambda size: DrawingRun(size, CPU, None))

    monkeypatch.setattr(CachedModel, "sampler", on_device)
    monkeypatch.setattr(CachedModel, "sampler_beside_others", on_device)
    samplings = tuple(msgspec.structs.replace(one, max_tokens=6) for one in seeds(1, 2))
    expected = [alone(loaded, sampling)[0] for sampling in samplings]
    request = GenerateVariants(messages=QUESTION, samplings=samplings)
    assert texts_of(list(answer_variants(loaded, request, Control(HOT))), 2) == expected


def test_the_prompt_is_read_once(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    whole = CachedModel.read

    def counted(self: CachedModel, tokens: Any, *rest: Any) -> torch.Tensor:
        read.append(len(tokens))
        return whole(self, tokens, *rest)

    monkeypatch.setattr(CachedModel, "read", counted)
    monkeypatch.setattr(loaded.cached, "block_size", 128)
    loaded.cached.clear()
    request = GenerateVariants(messages=QUESTION, samplings=seeds(64, 2, 3, 4))
    *events, last = answer_variants(loaded, request, Control(Sampling()))
    assert isinstance(last, VariantsGenerated)
    assert sum(read) == last.num_prompt_tokens == last.num_read_tokens > 128
    costs = [done(events)[index].statistics for index in range(4)]
    assert sum(c.num_prompt_tokens - c.num_cached_tokens for c in costs) == sum(read)
    # One of them says an end token: it stops, and the others go on.
    assert [c.num_new_tokens for c in costs] == [6, 20, 20, 20]
    assert [done(events)[n].finish_reason for n in range(4)] == ["stop", *["length"] * 3]
    assert last.num_new_tokens == 66
    # The cache of the chat holds the prompt still, and nothing else.
    assert loaded.cached.num_tokens == last.num_prompt_tokens
    read.clear()
    *_, again = answer_variants(loaded, request, Control(Sampling()))
    assert isinstance(again, VariantsGenerated)
    # What is seeded reads at least so many that they come to what they did before.
    assert again.num_read_tokens == sum(read) == loaded.cached._decoder.exact_from


def test_a_chat_goes_on_from_its_cache_after_variants(loaded: LoadedModel) -> None:
    greedy = Sampling(temperature=0, max_tokens=8)
    expected = alone(loaded, greedy)
    request = GenerateVariants(messages=QUESTION, samplings=seeds(1, 2))
    list(answer_variants(loaded, request, Control(Sampling())))
    *events, last = answer(loaded, Generate(messages=QUESTION, sampling=greedy), Control(greedy))
    assert isinstance(last, Generated)
    assert last.statistics.num_cached_tokens == last.statistics.num_prompt_tokens - 1
    assert "".join(e.text for e in events if isinstance(e, Delta)) == expected[0]


def test_records_are_those_of_each_answer(loaded: LoadedModel) -> None:
    request = GenerateVariants(messages=QUESTION, samplings=seeds(1, 2), num_alternatives=3)
    events = list(answer_variants(loaded, request, Control(Sampling())))
    for index, text in enumerate(texts_of(events, 2)):
        records = [
            record
            for event in events
            if isinstance(event, VariantTokens) and event.variant == index
            for record in event.tokens
        ]
        assert len(records) == done(events)[index].statistics.num_new_tokens
        assert "".join(record.text for record in records).strip() == text.strip()


def test_cancelling_ends_all_and_keeps_what_there_is(loaded: LoadedModel) -> None:
    control = Control(Sampling())
    events: list[VariantEvent] = []
    request = GenerateVariants(messages=QUESTION, samplings=seeds(1, 2, 3))
    for event in answer_variants(loaded, request, control):
        events.append(event)
        if isinstance(event, VariantDelta) and event.num_tokens == 5:
            control.cancel()
    ended = done(events)
    assert {e.finish_reason for e in ended.values()} == {"cancelled"}
    assert [ended[n].statistics.num_new_tokens for n in range(3)] == [5, 5, 5]
    assert all(texts_of(events, 3))


def test_cancelled_before_the_prompt_is_read(loaded: LoadedModel) -> None:
    control = Control(Sampling())
    control.cancel()
    loaded.cached.clear()
    request = GenerateVariants(messages=QUESTION, samplings=seeds(1, 2))
    *events, last = answer_variants(loaded, request, control)
    assert [e.finish_reason for e in done(events).values()] == ["cancelled"] * 2
    assert isinstance(last, VariantsGenerated)
    assert last.num_new_tokens == 0


def test_one_that_breaks_takes_the_others_to_what_was_told(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chatbot.engine.decode.cpu.fused_batch import FusedBatch

    read = FusedBatch.read

    def broken(self: FusedBatch, tokens: Any, is_cancelled: Any) -> torch.Tensor:
        logits = read(self, tokens, is_cancelled).clone()
        if self._num_tokens > self._num_shared + 3:
            logits[1] = torch.nan
        return logits

    monkeypatch.setattr(FusedBatch, "read", broken)
    told: list[VariantEvent] = []
    request = GenerateVariants(messages=QUESTION, samplings=seeds(1, 2))
    with pytest.raises(ModelError, match="overflowed"):
        told.extend(answer_variants(loaded, request, Control(Sampling())))
    assert all(texts_of(told, 2))
    assert loaded.cached.num_tokens == 0  # what is no number is not kept for later answers


def test_a_prompt_that_fills_the_window(loaded: LoadedModel) -> None:
    request = GenerateVariants(messages=QUESTION, samplings=seeds(1), context_length=5)
    with pytest.raises(ContextError, match="window holds 5"):
        next(answer_variants(loaded, request, Control(Sampling())))


@pytest.mark.parametrize("make", [make_llama, make_gpt2])
@pytest.mark.parametrize("is_forced", [False, True])
def test_rows_are_those_of_the_model(make: Callable[[], Any], is_forced: bool) -> None:
    """Each row against the model's own forward, with rows dropped and put in another order."""
    model = make()
    cached = CachedModel(model)
    if is_forced:  # as where a decoder is used whose cache nobody else can read
        cached._decoder = _Foreign(cached._decoder)
    for start in range(0, 200, 128):
        cached.read(PROMPT[start : min(start + 128, 200)])
    batch: Batch = cached.branch(4)
    rows = [list(PROMPT[:200]) for _ in range(4)]
    steps = [(None, [5, 6, 7, 8]), ([0, 2, 3], [9, 10, 11]), ([2, 0, 0], [1, 2, 3]), ([1], [4])]
    for order, tokens in steps:
        if order is not None:
            batch.select(order)
            rows = [list(rows[index]) for index in order]
        logits = batch.read(tokens, lambda: False)
        for row, token, found in zip(rows, tokens, logits, strict=True):
            row.append(token)
            with torch.inference_mode():
                expected = model(torch.tensor([row])).logits[0, -1]
            torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-3)
    assert cached.num_tokens == 200
    with torch.inference_mode():
        expected = model(torch.tensor([PROMPT[:201]])).logits[0, -1]
    torch.testing.assert_close(cached.read(PROMPT[200:201]), expected, atol=2e-4, rtol=1e-3)


class _Foreign:
    """A decoder of a class that is not known to ``CachedModel.branch``."""

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._decoder, name)


@pytest.mark.parametrize("precision", ["bf16", "8-bit", "4-bit"])
def test_other_precisions_write_in_a_batch(tiny_folder: Path, precision: Precision) -> None:
    model = open_model(tiny_folder, precision)
    request = GenerateVariants(messages=QUESTION, samplings=seeds(1, 2, 3))
    events = list(answer_variants(model, request, Control(Sampling())))
    texts = texts_of(events, 3)
    assert all(texts)
    assert len(set(texts)) == 3
    # The same settings twice are the same answer, whichever row they are in.
    twice = GenerateVariants(messages=QUESTION, samplings=seeds(3, 1, 1))
    assert texts_of(list(answer_variants(model, twice, Control(Sampling()))), 3) == [
        texts[2],
        texts[0],
        texts[0],
    ]


def found_by_transformers(
    loaded: LoadedModel, prompt: list[int], num_beams: int, **options: Any
) -> tuple[list[str], list[float]]:
    with torch.inference_mode():
        output = loaded.model.generate(
            torch.tensor([prompt]),
            num_beams=num_beams,
            num_return_sequences=num_beams,
            do_sample=False,
            eos_token_id=sorted(loaded.end_tokens),
            pad_token_id=0,
            output_scores=True,
            return_dict_in_generate=True,
            **options,
        )
    ends = loaded.end_tokens
    rows = []
    for sequence in output.sequences[:, len(prompt) :].tolist():
        end = next((n for n, token in enumerate(sequence) if token in ends), len(sequence))
        kept = [token for token in sequence[:end] if token not in loaded.special_tokens]
        rows.append(loaded.decode(kept).rstrip("\ufffd"))
    return rows, output.sequences_scores.tolist()


@pytest.mark.parametrize(
    ("num_beams", "sampling", "length_penalty"),
    [
        (2, Sampling(max_tokens=12), 1.0),
        (5, Sampling(max_tokens=30), 1.0),
        (5, Sampling(max_tokens=30), 0.0),
        (4, Sampling(max_tokens=30), -1.0),
        (3, Sampling(max_tokens=24, no_repeat_ngram_size=2), 1.0),
        (3, Sampling(max_tokens=24, repetition_penalty=1.4), 2.0),
    ],
)
def test_beams_are_those_of_transformers(
    loaded: LoadedModel, num_beams: int, sampling: Sampling, length_penalty: float
) -> None:
    prompt = loaded.prompts.build(QUESTION).tokens
    expected, scores = found_by_transformers(
        loaded,
        prompt,
        num_beams,
        max_new_tokens=sampling.max_tokens,
        length_penalty=length_penalty,
        no_repeat_ngram_size=sampling.no_repeat_ngram_size,
        repetition_penalty=sampling.repetition_penalty,
    )
    request = SearchBeams(
        messages=QUESTION, sampling=sampling, num_beams=num_beams, length_penalty=length_penalty
    )
    events = list(search_beams(loaded, request, Control(sampling)))
    assert texts_of(events, num_beams) == expected
    found = [done(events)[index].score for index in range(num_beams)]
    assert found == pytest.approx(scores, rel=1e-5)


def test_every_step_shows_the_beams(loaded: LoadedModel) -> None:
    sampling = Sampling(max_tokens=10)
    request = SearchBeams(messages=QUESTION, sampling=sampling, num_beams=3)
    events = list(search_beams(loaded, request, Control(sampling)))
    moves = [event for event in events if isinstance(event, BeamsMoved)]
    assert [move.num_tokens for move in moves] == list(range(1, len(moves) + 1))
    for before, move in pairwise(moves):
        for beam in move.live:
            parent = before.live[beam.parent]
            assert beam.text.startswith(parent.text)
            assert beam.log_probability <= parent.log_probability
    assert [b.log_probability for b in moves[0].live] == sorted(
        (b.log_probability for b in moves[0].live), reverse=True
    )


def test_a_cancelled_search_gives_what_it_has(loaded: LoadedModel) -> None:
    control = Control(Sampling())
    events: list[VariantEvent] = []
    request = SearchBeams(messages=QUESTION, sampling=Sampling(max_tokens=30), num_beams=3)
    for event in search_beams(loaded, request, control):
        events.append(event)
        if isinstance(event, BeamsMoved) and event.num_tokens == 4:
            control.cancel()
    assert set(done(events)) == {0, 1, 2}
    assert "cancelled" in {event.finish_reason for event in done(events).values()}
    assert all(texts_of(events, 3))


def records_of(events: list[VariantEvent], index: int) -> list[TokenRecord]:
    return [
        record
        for event in events
        if isinstance(event, VariantTokens) and event.variant == index
        for record in event.tokens
    ]


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(max_tokens=16),
        Sampling(max_tokens=16, no_repeat_ngram_size=2, repetition_penalty=1.3),
    ],
)
def test_the_tokens_of_a_beam_are_recorded(loaded: LoadedModel, sampling: Sampling) -> None:
    """Their probabilities are the model's, after the rules those that the search went by."""
    request = SearchBeams(messages=QUESTION, sampling=sampling, num_beams=3, num_alternatives=4)
    events = list(search_beams(loaded, request, Control(sampling)))
    prompt = loaded.prompts.build(QUESTION).tokens
    for index, text in enumerate(texts_of(events, 3)):
        records = records_of(events, index)
        assert len(records) == done(events)[index].statistics.num_new_tokens
        assert "".join(record.text for record in records).strip() == text.strip()
        tokens = [record.token for record in records]
        with torch.inference_mode():
            logits = loaded.model(torch.tensor([[*prompt, *tokens]])).logits[0].float()
        rows = logits[len(prompt) - 1 : -1]
        before = rows.softmax(1)
        for place, (record, row) in enumerate(zip(records, before, strict=True)):
            assert record.before == pytest.approx(float(row[record.token]), rel=1e-3)
            assert record.rank_before == int((row > row[record.token]).sum()) + 1
            assert record.alternatives[0].before == pytest.approx(float(row.max()), rel=1e-3)
            history = TokenHistory([*prompt, *tokens[:place]])
            after = Sampler(history, CPU).adjusted(row.log(), sampling).softmax(0)
            assert record.after == pytest.approx(float(after[record.token]), rel=1e-3)
            assert record.rank_after == int((after > after[record.token]).sum()) + 1
        if sampling.repetition_penalty == 1:
            total = sum(math.log(record.before) for record in records)
            assert total == pytest.approx(done(events)[index].log_probability, rel=1e-4)


@pytest.mark.parametrize("vocab", [300, 5000, 50_001])
def test_all_beams_of_a_step_are_measured_as_each_would_be_alone(vocab: int) -> None:
    torch.manual_seed(5)
    logits = torch.randn(4, vocab) * 4
    logits[2, vocab - 1] = 30.0  # the last one, which is in no whole block
    texts = TokenTexts(lambda tokens: " ".join(map(str, tokens)), lambda text: [0])
    before = logits.log_softmax(1)
    tokens = [before[row].topk(50).indices[place].item() for row, place in PLACES]
    chosen = [(row, int(token)) for (row, _), token in zip(PLACES, tokens, strict=True)]
    with NoDoubles():
        together = BeamRecorder(6, texts).measure(before, None, chosen)
    for (row, token), found in zip(chosen, together, strict=True):
        alone = Recorder(6, texts)
        alone.note(logits[row], token, None)
        alone.complete("", "text")
        (expected,) = alone.take()
        assert (found.token, found.rank_before) == (token, expected.rank_before)
        assert found.before == pytest.approx(expected.before, rel=1e-4)
        assert found.entropy_before == pytest.approx(expected.entropy_before, rel=1e-4, abs=1e-6)
        assert [a.token for a in found.alternatives] == [a.token for a in expected.alternatives]
        assert (found.after, found.rank_after) == (found.before, found.rank_before)
        assert found.entropy_after == found.entropy_before


PLACES = ((0, 0), (0, 3), (2, 0), (2, 49), (3, 7))
"""Row, and how many are likelier; nobody goes on from the second row."""


def test_a_cancelled_search_has_the_tokens_that_it_came_to(loaded: LoadedModel) -> None:
    control = Control(Sampling())
    events: list[VariantEvent] = []
    sampling = Sampling(max_tokens=30)
    request = SearchBeams(messages=QUESTION, sampling=sampling, num_beams=3, num_alternatives=2)
    for event in search_beams(loaded, request, control):
        events.append(event)
        if isinstance(event, BeamsMoved) and event.num_tokens == 4:
            control.cancel()
    sizes = [len(records_of(events, index)) for index in range(3)]
    assert sizes == [done(events)[n].statistics.num_new_tokens for n in range(3)]
    assert max(sizes) == 4


def holding(control: Control, steps: Sequence[int | None]) -> Callable[[VariantsHeld], None]:
    """Lets answers go on by so many tokens each time that they are held."""
    waiting = list(steps)

    def go_on(event: VariantsHeld) -> None:
        control.hold(waiting.pop(0))

    return go_on


def test_held_they_go_on_by_as_many_tokens_as_are_let(loaded: LoadedModel) -> None:
    request = GenerateVariants(messages=QUESTION, samplings=seeds(2, 3), num_alternatives=2)
    whole = texts_of(list(answer_variants(loaded, request, Control(Sampling()))), 2)
    control = Control(Sampling())
    control.hold(0)
    go_on = holding(control, [3, 1, None])
    held, events = [], []
    for event in answer_variants(loaded, request, control):
        events.append(event)
        if isinstance(event, VariantsHeld):
            held.append((event.num_tokens, len(records_of(events, 0)), len(records_of(events, 1))))
            go_on(event)
    assert held == [(0, 0, 0), (3, 3, 3), (4, 4, 4)]
    assert texts_of(events, 2) == whole


def test_a_search_is_held_between_two_steps(loaded: LoadedModel) -> None:
    sampling = Sampling(max_tokens=8)
    control = Control(sampling)
    control.hold(2)
    go_on = holding(control, [1, None])
    told = []
    request = SearchBeams(messages=QUESTION, sampling=sampling, num_beams=2)
    for event in search_beams(loaded, request, control):
        if isinstance(event, VariantsHeld):
            go_on(event)
        if isinstance(event, VariantsHeld | BeamsMoved):
            told.append((type(event), event.num_tokens))
    assert told[:5] == [
        (BeamsMoved, 1),
        (BeamsMoved, 2),
        (VariantsHeld, 2),
        (BeamsMoved, 3),
        (VariantsHeld, 3),
    ]


def test_other_settings_act_from_the_next_token(loaded: LoadedModel) -> None:
    samplings = seeds(2, 3)
    greedy = tuple(msgspec.structs.replace(each, temperature=0.0) for each in samplings)
    request = GenerateVariants(messages=QUESTION, samplings=samplings, num_alternatives=2)
    control = Control(Sampling(), samplings)
    control.hold(5)
    events: list[VariantEvent] = []
    for event in answer_variants(loaded, request, control):
        events.append(event)
        if isinstance(event, VariantsHeld):
            control.samplings = greedy
            control.hold(None)
    applied = [event for event in events if isinstance(event, VariantSamplingApplied)]
    assert [(event.variant, event.sampling) for event in applied] == [*enumerate(greedy)]
    assert [event.num_tokens for event in applied] == [5, 5]
    for index in range(2):
        records = records_of(events, index)
        assert [record.after < 1 for record in records[:5]].count(True) > 0
        assert {record.after for record in records[5:]} == {1.0}  # the likeliest, undrawn
        assert {record.rank_before for record in records[5:]} == {1}


def test_a_search_takes_other_rules_from_the_next_step(loaded: LoadedModel) -> None:
    sampling = Sampling(max_tokens=30)
    control = Control(sampling, (sampling,))
    control.hold(3)
    request = SearchBeams(messages=QUESTION, sampling=sampling, num_beams=2)
    shorter = msgspec.structs.replace(sampling, max_tokens=5)
    events: list[VariantEvent] = []
    for event in search_beams(loaded, request, control):
        events.append(event)
        if isinstance(event, VariantsHeld):
            control.samplings = (shorter,)
            control.hold(None)
    assert {e.finish_reason for e in done(events).values()} == {"length"}
    assert {e.statistics.num_new_tokens for e in done(events).values()} == {5}
    applied = [event for event in events if isinstance(event, VariantSamplingApplied)]
    assert [(event.variant, event.sampling) for event in applied] == [(0, shorter), (1, shorter)]
    assert [event.num_tokens for event in applied] == [3, 3]
    # The change stands between the third token and the fourth.
    first = next(n for n, event in enumerate(events) if isinstance(event, VariantSamplingApplied))
    before = [e for e in events[:first] if isinstance(e, VariantDelta)]
    assert max(delta.num_tokens for delta in before) == 3


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_rows_of_every_family_are_those_of_the_model(family: Family) -> None:
    """Also of those that forget what is out of their window, in which the prompt is longer."""
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(family.config).eval()
    prompt = PROMPT[:60]
    cached = CachedModel(model)
    cached.read(prompt)
    batch = cached.branch(3)
    rows = [list(prompt) for _ in range(3)]
    for order, tokens in ((None, [5, 6, 7]), ([2, 0, 0], [8, 9, 10]), ([1, 2], [11, 12])):
        if order is not None:
            batch.select(order)
            rows = [list(rows[index]) for index in order]
        logits = batch.read(tokens, lambda: False)
        for row, token, found in zip(rows, tokens, logits, strict=True):
            row.append(token)
            with torch.inference_mode():
                expected = model(torch.tensor([row])).logits[0, -1]
            torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-3)
    # What the chat has read was not touched.
    with torch.inference_mode():
        expected = model(torch.tensor([[*prompt, 3]])).logits[0, -1]
    torch.testing.assert_close(cached.read([3]), expected, atol=2e-4, rtol=1e-3)


def test_as_many_answers_as_can_be_asked_for_are_read_at_once() -> None:
    assert MAX_VARIANTS <= MAX_FEW
