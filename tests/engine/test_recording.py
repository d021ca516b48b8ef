"""What is recorded of each token, held against transformers; holding; exact beginnings."""

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from chatbot.engine.answer import answer
from chatbot.engine.finding import find_model
from chatbot.engine.inbox import Control
from chatbot.engine.loading import LoadedModel, load
from chatbot.engine.protocol.answer import (
    AnswerEvent,
    Delta,
    Generate,
    Generated,
    Held,
    TokensRecorded,
)
from chatbot.engine.protocol.messages import ChatMessage
from chatbot.settings import Sampling
from chatbot.tokens import TokenRecord

CPU = torch.device("cpu")
QUESTION = (ChatMessage("user", "What is the capital of France?"),)
NUM_ALTERNATIVES = 5


def load_on_cpu(reference: str, precision: str = "fp32") -> LoadedModel:
    return load(find_model(reference, lambda *_: None), precision, CPU, lambda *_: None)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def loaded(tiny_folder: Path) -> LoadedModel:
    return load_on_cpu(str(tiny_folder))


def run(
    loaded: LoadedModel, sampling: Sampling, control: Control | None = None, **options: object
) -> list[AnswerEvent]:
    request = Generate(
        **{
            "messages": QUESTION,
            "sampling": sampling,
            "num_alternatives": NUM_ALTERNATIVES,
            **options,
        }  # type: ignore[arg-type]
    )
    return list(answer(loaded, request, control or Control(sampling)))


def records_of(events: Sequence[AnswerEvent]) -> list[TokenRecord]:
    return [r for event in events if isinstance(event, TokensRecorded) for r in event.tokens]


def text_of(events: Sequence[AnswerEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


def processors(sampling: Sampling) -> LogitsProcessorList:
    """What ``generate`` of transformers applies for these settings, in its order."""
    made = LogitsProcessorList()
    if sampling.repetition_penalty != 1:
        made.append(RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty))
    if sampling.no_repeat_ngram_size:
        made.append(NoRepeatNGramLogitsProcessor(sampling.no_repeat_ngram_size))
    made.append(TemperatureLogitsWarper(float(sampling.temperature)))
    if sampling.top_k:
        made.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        made.append(TopPLogitsWarper(sampling.top_p))
    if sampling.min_p:
        made.append(MinPLogitsWarper(sampling.min_p))
    return made


def bits(probabilities: torch.Tensor) -> float:
    return float(torch.special.entr(probabilities).sum()) / 0.6931471805599453


def agrees_with_transformers(loaded: LoadedModel, sampling: Sampling) -> None:
    """Hold every value of an answer's records against the logits of the same prefix."""
    records = records_of(run(loaded, sampling))
    assert len(records) == sampling.max_tokens
    prefix = list(loaded.prompts.build(QUESTION).tokens)
    model = loaded.cached._model
    apply = processors(sampling)
    for record in records:
        ids = torch.tensor([prefix])
        with torch.inference_mode():
            logits = model(ids).logits[:, -1].float()
        before = logits.softmax(-1)[0]
        after = apply(ids, logits.clone()).softmax(-1)[0]
        assert record.before == pytest.approx(float(before[record.token]), abs=1e-4)
        assert record.after == pytest.approx(float(after[record.token]), abs=1e-4)
        assert record.rank_before == int((before > before[record.token]).sum()) + 1
        assert record.rank_after == int((after > after[record.token]).sum()) + 1
        assert record.entropy_before == pytest.approx(bits(before), abs=1e-3)
        assert record.entropy_after == pytest.approx(bits(after), abs=1e-3)
        shown = {a.token for a in record.alternatives}
        assert shown >= {record.token, *before.topk(NUM_ALTERNATIVES).indices.tolist()}
        for other in record.alternatives:
            assert other.before == pytest.approx(float(before[other.token]), abs=1e-4)
            assert other.after == pytest.approx(float(after[other.token]), abs=1e-4)
            assert (other.after == 0) == (float(after[other.token]) == 0)
        prefix.append(record.token)


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=1, top_k=0, top_p=1, max_tokens=12, seed=1),
        Sampling(temperature=0.7, top_k=7, top_p=0.9, max_tokens=12, seed=2),
        Sampling(temperature=1.5, top_k=0, top_p=1, min_p=0.1, max_tokens=12, seed=3),
        Sampling(temperature=1.2, repetition_penalty=1.4, max_tokens=20, seed=4),
        Sampling(temperature=2, top_k=0, no_repeat_ngram_size=2, max_tokens=20, seed=5),
    ],
)
def test_records_equal_transformers(loaded: LoadedModel, sampling: Sampling) -> None:
    agrees_with_transformers(loaded, sampling)


def test_records_of_the_embedded_model_equal_transformers(models_cache: Path) -> None:
    embedded = load_on_cpu("smollm2-135m")
    agrees_with_transformers(embedded, Sampling(temperature=0.9, max_tokens=6, seed=1))


def test_a_greedy_token_is_certain_after_the_settings(loaded: LoadedModel) -> None:
    for record in records_of(run(loaded, Sampling(temperature=0, max_tokens=8))):
        assert (record.after, record.rank_after, record.entropy_after) == (1, 1, 0)
        assert record.rank_before == 1
        assert record.entropy_before > 0
        assert [a.after for a in record.alternatives] == [
            float(a.token == record.token) for a in record.alternatives
        ]


def test_the_pieces_of_the_tokens_are_the_answer(loaded: LoadedModel) -> None:
    for seed in range(6):
        sampling = Sampling(temperature=2, top_k=0, top_p=1, max_tokens=40, seed=seed)
        events = run(loaded, sampling)
        pieces = "".join(record.text for record in records_of(events))
        assert pieces
        assert text_of(events) == pieces


def test_nothing_is_recorded_unless_it_is_asked_for(loaded: LoadedModel) -> None:
    events = run(loaded, Sampling(temperature=0, max_tokens=8), num_alternatives=0)
    assert not any(isinstance(event, TokensRecorded) for event in events)


def test_texts_of_single_tokens_keep_their_space(models_cache: Path) -> None:
    tokenizer = find_model("smollm2-135m", lambda *_: None).tokenizer
    from chatbot.engine.recording import TokenTexts

    texts = TokenTexts(tokenizer.decode, lambda t: tokenizer.encode(t, add_special_tokens=False))
    (token,) = tokenizer.encode(" Paris", add_special_tokens=False)
    assert texts(token) == " Paris"
    assert texts(tokenizer.convert_tokens_to_ids("<|im_end|>")) == "<|im_end|>"


# Holding


def test_an_answer_is_held_stepped_and_let_go(loaded: LoadedModel) -> None:
    sampling = Sampling(temperature=0, max_tokens=10)
    free = run(loaded, sampling)
    control = Control(sampling)
    control.hold(3)
    request = Generate(messages=QUESTION, sampling=sampling, num_alternatives=NUM_ALTERNATIVES)
    events = answer(loaded, request, control)
    seen: list[AnswerEvent] = []
    num_at_hold = []
    for event in events:
        seen.append(event)
        if isinstance(event, Held):
            num_at_hold.append(len(records_of(seen)))  # all there is has been told
            control.hold(1 if len(num_at_hold) == 1 else None)
    assert num_at_hold == [3, 4]
    assert text_of(seen) == text_of(free)
    assert isinstance(seen[-1], Generated)
    assert seen[-1].finish_reason == "length"


def test_a_held_answer_waits_and_can_be_cancelled(loaded: LoadedModel) -> None:
    sampling = Sampling(temperature=0, max_tokens=10)
    control = Control(sampling)
    control.hold(2)
    events = answer(loaded, Generate(messages=QUESTION, sampling=sampling), control)
    seen = []
    for event in events:
        seen.append(event)
        if isinstance(event, Held):
            threading.Timer(0.3, control.cancel).start()
    last = seen[-1]
    assert isinstance(last, Generated)
    assert last.finish_reason == "cancelled"
    assert last.statistics.num_new_tokens == 2
    assert control.held_seconds > 0.2
    assert last.statistics.decode_seconds < 0.2  # the clock stood still


# Going on from a token


def test_a_branch_equals_generating_from_the_same_prefix_afresh(loaded: LoadedModel) -> None:
    sampling = Sampling(temperature=0, max_tokens=24)
    whole = records_of(run(loaded, sampling))
    opening = loaded.prompts.build(QUESTION).tokens
    num_compared = 0
    for index in range(1, 20):
        kept = whole[:index]
        other = next(a for a in whole[index].alternatives if a.token != whole[index].token)
        content = "".join(r.text for r in kept) + other.text
        tokens = (*(r.token for r in kept), other.token)
        is_text = all(token < len(loaded.found.tokenizer) for token in tokens)
        is_text = is_text and not loaded.special_tokens & {*tokens}
        if not is_text or loaded.decode(tokens) != content:
            continue  # random weights write what no text can stand for
        begun = (*QUESTION, ChatMessage("assistant", content))
        run(loaded, sampling)  # the cache holds the whole answer again
        warm = run(loaded, sampling, messages=begun, continue_last=True, begun_tokens=tokens)
        statistics = warm[-1].statistics  # type: ignore[union-attr]
        # Only the new token had to be read.
        assert statistics.num_cached_tokens == len(opening) + index
        assert statistics.num_prompt_tokens == len(opening) + index + 1
        prefix = torch.tensor([[*opening, *tokens]])
        expected = loaded.cached._model.generate(
            prefix, max_new_tokens=24, do_sample=False, eos_token_id=[*loaded.end_tokens]
        )
        assert [r.token for r in records_of(warm)] == expected[0, prefix.shape[1] :].tolist()
        loaded.cached.clear()
        cold = run(loaded, sampling, messages=begun, continue_last=True, begun_tokens=tokens)
        assert text_of(cold) == text_of(warm)
        num_compared += 1
    assert num_compared >= 2


def test_tokens_that_do_not_say_the_text_are_not_used(loaded: LoadedModel) -> None:
    begun = (*QUESTION, ChatMessage("assistant", "The capital"))
    by_text = loaded.prompts.build(begun, continue_last=True).tokens
    sampling = Sampling(temperature=0, max_tokens=3)
    other = loaded.prompts._encode("You are")[0]
    for wrong in (other, [len(loaded.found.tokenizer) + 5], [2]):
        events = run(
            loaded, sampling, messages=begun, continue_last=True, begun_tokens=tuple(wrong)
        )
        assert events[-1].statistics.num_prompt_tokens == len(by_text)  # type: ignore[union-attr]
    # Letter by letter is the same text in other tokens, and those were drawn.
    letters = [loaded.prompts._encode(letter)[0][0] for letter in "The cap"]
    exact = loaded.prompts.build_begun(begun, letters)
    assert exact is not None
    assert len(exact) > len(by_text)
    assert loaded.decode(exact) == loaded.decode(by_text)


def test_a_control_token_in_the_rest_stays_text(loaded: LoadedModel) -> None:
    begun = (*QUESTION, ChatMessage("assistant", "The<|im_end|>"))
    first = loaded.prompts._encode("The")[0]
    exact = loaded.prompts.build_begun(begun, first)
    assert exact is not None
    opening = len(loaded.prompts.build(QUESTION).tokens)
    assert 2 not in exact[opening:]
