"""The rules as tensor operations, against the rules of the other sampler."""

from collections.abc import Callable

import pytest
import torch

from chatbot.engine.decode.gpu.graphed_steps import NUM_EAGER
from chatbot.engine.decode.gpu.graphs import Capture, CudaCapture
from chatbot.engine.device_sampling import DeviceSampler
from chatbot.engine.drawing import DrawingRun
from chatbot.engine.history import TokenHistory
from chatbot.engine.inbox import Control
from chatbot.engine.kv_cache import CachedModel
from chatbot.engine.recording import Recorder, TokenTexts
from chatbot.engine.sampling import Sampler, candidates
from chatbot.engine.token_loop import write_tokens
from chatbot.errors import ModelError
from chatbot.settings import Sampling
from tests.engine.captures import Replaying
from tests.engine.tiny_models import make_llama

VOCAB = 5000
CPU = torch.device("cpu")
PROMPT = [3, 5, 3, 8, 1000]

SETTINGS = {
    "as it is": Sampling(temperature=1, top_k=0, top_p=1),
    "temperature": Sampling(temperature=0.4, top_k=0, top_p=1),
    "top-k": Sampling(temperature=1, top_k=7, top_p=1),
    "top-p": Sampling(temperature=1, top_k=0, top_p=0.6),
    "all but the tail": Sampling(temperature=1.3, top_k=0, top_p=0.999),
    "min-p": Sampling(temperature=1, top_k=0, top_p=1, min_p=0.05),
    "penalty": Sampling(temperature=0.8, top_k=40, top_p=0.9, repetition_penalty=1.7),
    "all": Sampling(temperature=0.7, top_k=50, top_p=0.8, min_p=0.1, repetition_penalty=1.2),
    "one": Sampling(temperature=1, top_k=1, top_p=0),
}


def logits(seed: int) -> torch.Tensor:
    values = torch.randn(VOCAB, generator=torch.Generator().manual_seed(seed)) * 3
    values[[3, 8, 1000]] = values.max() + torch.tensor([0.5, 0.2, -0.1])
    return values


def drawn_by_the_others(values: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """The probability of every token by the rules of the other sampler: float32 [VOCAB]."""
    adjusted = Sampler(TokenHistory(PROMPT), CPU).adjusted(values, sampling)
    ids, kept = candidates(adjusted, sampling)
    if ids is None:
        return kept.softmax(0)
    return torch.zeros(VOCAB).scatter(0, ids, kept.softmax(0))


def found_in(ours: Sampler) -> torch.Tensor:
    """The probability of every token as one was drawn: float32 [VOCAB]."""
    assert ours.drawn_from is not None
    assert ours.drawn_from.ids is None
    return ours.drawn_from.shares.cpu()


def sampler(history: TokenHistory | None = None) -> DeviceSampler:
    run = DrawingRun(VOCAB, CPU, None)
    return DeviceSampler(history or TokenHistory(PROMPT), CPU, lambda _: run)


@pytest.mark.parametrize("sampling", SETTINGS.values(), ids=SETTINGS)
def test_the_same_tokens_with_the_same_probabilities(sampling: Sampling) -> None:
    for seed in range(5):
        values = logits(seed)
        ours = sampler()
        token = ours.draw(values, sampling)
        expected = drawn_by_the_others(values, sampling)
        torch.testing.assert_close(found_in(ours), expected, atol=1e-6, rtol=1e-4)
        assert expected[token] > 0


def test_the_likeliest_without_a_temperature_even_when_it_is_penalised() -> None:
    for seed in range(5):
        sampling = Sampling(temperature=0, repetition_penalty=1.5)
        ours = sampler()
        other = Sampler(TokenHistory(PROMPT), CPU)
        assert ours.draw(logits(seed), sampling) == other.draw(logits(seed), sampling)
        assert ours.drawn_from is None


def test_of_equally_likely_tokens_the_first_is_the_likeliest() -> None:
    for vocab in (9, VOCAB):  # which are sorted in two ways
        values = torch.zeros(vocab)
        values[[4, 5, 8]] = 1.0
        run = DrawingRun(vocab, CPU, None)
        for top_k in (0, 1, 20):
            ours = DeviceSampler(TokenHistory([]), CPU, lambda _, run=run: run)
            assert ours.draw(values, Sampling(temperature=0, top_k=top_k)) == 4
            assert run.shares[4] == run.shares.sum() == 1


def test_tokens_are_drawn_as_often_as_is_likely() -> None:
    run = DrawingRun(4, CPU, None)
    history = TokenHistory([])
    ours = DeviceSampler(history, CPU, lambda _: run)
    sampling = Sampling(temperature=1, top_k=0, top_p=1, seed=1)
    shares = torch.tensor([0.5, 0.3, 0.2, 0.0])
    counts = torch.zeros(4)
    for _ in range(3000):
        token = ours.draw(shares.log(), sampling)
        history.append(token)
        counts[token] += 1
    # Four standard deviations of a share of one half.
    assert (counts / 3000 - shares).abs().max() < 4 * (0.25 / 3000) ** 0.5


def test_settings_change_between_draws_of_one_captured_run_and_seeds_repeat() -> None:
    capture = Replaying()
    run = DrawingRun(VOCAB, CPU, capture)
    found = []
    for _ in range(2):
        history = TokenHistory(PROMPT)
        ours = DeviceSampler(history, CPU, lambda _: run)
        drawn = []
        for seed in range(12):
            sampling = Sampling(temperature=1, top_k=0, top_p=1, seed=5)
            if seed > 5:
                sampling = Sampling(temperature=0, repetition_penalty=2.0, seed=5)
            drawn.append(ours.draw(logits(seed % 3), sampling))
            history.append(drawn[-1])
        found.append(drawn)
    assert found[0] == found[1]
    assert len(set(found[0][6:])) > 1  # what came is held against it
    assert capture.num_captured == 1
    assert capture.num_replayed == 24 - NUM_EAGER


def test_what_is_allowed_or_banned_by_name_is_drawn_by_the_other_rules() -> None:
    allowed = torch.zeros(VOCAB, dtype=torch.bool)
    allowed[17] = True
    ours = sampler()
    assert ours.draw(logits(0), Sampling(temperature=0), allowed) == 17
    history = TokenHistory([1, 2, 3, 1, 2])
    banned = sampler(history)
    values = torch.zeros(VOCAB)
    values[3] = 9.0
    sampling = Sampling(temperature=0, no_repeat_ngram_size=3)
    assert banned.draw(values, Sampling(temperature=0)) == 3
    assert banned.draw(values, sampling) != 3


# A number that is none with a sign is sorted to the other end on a GPU.
@pytest.mark.parametrize("wrong", [torch.nan, -torch.nan, torch.inf])
@pytest.mark.parametrize("sampling", [Sampling(temperature=0), Sampling(temperature=0.7)])
def test_logits_that_are_no_numbers_are_an_error(wrong: float, sampling: Sampling) -> None:
    values = logits(0)
    values[4] = wrong
    with pytest.raises(ModelError):
        sampler().draw(values, sampling)
    with pytest.raises(ModelError):
        sampler().draw(torch.full((VOCAB,), -torch.inf), sampling)


def test_answers_are_recorded_and_steered_as_with_the_other_sampler(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cached = CachedModel(make_llama())
    capture = Replaying()
    run = DrawingRun(400, CPU, capture)
    monkeypatch.setattr(cached, "sampler", lambda h: DeviceSampler(h, CPU, lambda _: run))
    texts = TokenTexts(lambda ids: "".join(chr(97 + i % 26) for i in ids), lambda _: [3])
    recorder = Recorder(4, texts)
    sampling = Sampling(temperature=0.9, top_k=3, top_p=1, max_tokens=20)
    control = Control(sampling)
    loop = write_tokens(
        cached,
        PROMPT[:4],
        control,
        sampling=sampling,
        context_length=100,
        end_tokens=(),
        recorder=recorder,
    )
    num_changes = 0
    for item in loop:
        if not isinstance(item, int):
            num_changes += 1
            continue
        recorder.complete("x", "text")
        if len(recorder._waiting) == 10:
            control.sampling = Sampling(temperature=0, max_tokens=20)
    records = recorder.take()
    assert num_changes == 1
    assert len(records) == 20
    assert all(record.after > 0 for record in records)
    # Of the four likeliest three could be drawn, and nothing else is among the alternatives.
    assert all(len(record.alternatives) == 4 for record in records[:10])
    assert all(record.rank_after <= 3 for record in records)
    assert all(record.after == 1 for record in records[10:])
    assert capture.num_replayed == 20 - NUM_EAGER


@pytest.mark.parametrize(
    ("device", "make_capture"),
    [
        pytest.param("cpu", Replaying, id="stand-in"),
        pytest.param("cuda", CudaCapture, id="graph", marks=pytest.mark.gpu),
    ],
)
def test_a_captured_run_draws_by_the_same_probabilities(
    device: str, make_capture: Callable[[], Capture]
) -> None:
    run = DrawingRun(VOCAB, torch.device(device), make_capture())
    for sampling in (*SETTINGS.values(), *SETTINGS.values()):
        values = logits(1)
        # A new answer each time: a second draw at one place is made by the other rules.
        ours = DeviceSampler(TokenHistory(PROMPT), torch.device(device), lambda _: run)
        ours.draw(values.to(device), sampling)
        expected = drawn_by_the_others(values, sampling)
        torch.testing.assert_close(found_in(ours), expected, atol=1e-5, rtol=1e-3)
    assert run._graphs.has_captured
