"""The figures of a token, as both kinds of processors work them out, against plain definitions."""

import pytest
import torch

from chatbot.engine.chances import _on_cpu, _on_device, chances
from chatbot.engine.history import TokenHistory
from chatbot.engine.sampling import Drawn, Sampler
from chatbot.engine.token_facts import Chances
from chatbot.errors import ModelError
from chatbot.settings import Sampling
from tests.engine.captures import NoDoubles

VOCAB = 5000
K = 6
NATS = 1e-4

SETTINGS = {
    "as it is": Sampling(temperature=1, top_k=0, top_p=1, seed=1),
    "temperature alone": Sampling(temperature=1.7, top_k=0, top_p=1, seed=2),
    "a penalty alone": Sampling(
        temperature=1, top_k=0, top_p=1, repetition_penalty=1.9, no_repeat_ngram_size=1, seed=3
    ),
    "fewer than are wanted": Sampling(temperature=0.8, top_k=3, top_p=1, seed=4),
    "nearly all": Sampling(temperature=1.5, top_k=0, top_p=0.999, seed=5),
    "default": Sampling(seed=6),
    "greedy": Sampling(temperature=0),
}


def logits(seed: int, vocab: int = VOCAB) -> torch.Tensor:
    """Some tokens are impossible, and many are equal, as they are in half precision."""
    values = torch.randn(vocab, generator=torch.Generator().manual_seed(seed)) * 3
    values[5::7] = -torch.inf
    return values.bfloat16().float()


def everywhere(drawn: Drawn | None, token: int, vocab: int) -> torch.Tensor:
    """The probability of every token: float32 [vocab]."""
    if drawn is None:
        return torch.zeros(vocab).index_fill(0, torch.tensor([token]), 1.0)
    if drawn.ids is None:
        return drawn.shares
    return torch.zeros(vocab).scatter(0, drawn.ids, drawn.shares)


def agrees(found: Chances, scores: torch.Tensor, token: int, drawn: Drawn | None, k: int) -> None:
    """Hold all that was found against sorting and summing up everything in float64."""
    before = scores.double().softmax(0)
    after = everywhere(drawn, token, len(scores)).double()
    assert found.rank_before == int((scores > scores[token]).sum()) + 1
    assert found.rank_after == int((after > after[token]).sum()) + 1
    assert found.entropy_before == pytest.approx(float(torch.special.entr(before).sum()), abs=NATS)
    assert found.entropy_after == pytest.approx(float(torch.special.entr(after).sum()), abs=NATS)
    keys = torch.tensor(sorted(found.by_token))
    expected = torch.stack((before[keys], after[keys]), 1)
    actual = torch.tensor([found.by_token[int(key)] for key in keys]).double()
    torch.testing.assert_close(actual, expected, atol=1e-6, rtol=1e-4)
    # Of those that are equal any may be named: their scores are what must be there.
    assert token in found.by_token
    for values in (scores.double(), after):
        highest = values.topk(k).values
        named = values[keys].sort(descending=True).values[:k]
        is_possible = highest > (0 if values is after else -torch.inf)
        possible = highest[is_possible]
        torch.testing.assert_close(named[: len(possible)], possible, atol=0, rtol=0)
    assert len(found.by_token) <= 2 * k + 1


@pytest.mark.parametrize("work_out", [_on_cpu, _on_device])
@pytest.mark.parametrize("sampling", SETTINGS.values(), ids=SETTINGS)
def test_what_was_drawn_under_any_settings(work_out: object, sampling: Sampling) -> None:
    history = TokenHistory([1, 2, 3])
    sampler = Sampler(history, torch.device("cpu"))
    for seed in range(4):
        scores = logits(seed)
        scores[[1, 2, 3]] = scores.max() + torch.tensor([1.0, 2.0, 3.0])
        token = sampler.draw(scores, sampling)
        found = work_out(scores, token, sampler.drawn_from, K)  # type: ignore[operator]
        agrees(found, scores, token, sampler.drawn_from, K)
        history.append(token)


@pytest.mark.parametrize("work_out", [_on_cpu, _on_device])
@pytest.mark.parametrize("vocab", [K, 40, 400])
def test_a_small_vocabulary_and_an_unlikely_token(work_out: object, vocab: int) -> None:
    scores = logits(9, vocab)
    shares = scores.softmax(0)
    worst = int(scores.masked_fill(scores.isinf(), 99).argmin())
    for drawn in (None, Drawn(None, shares), Drawn(torch.arange(vocab).flip(0), shares.flip(0))):
        agrees(work_out(scores, worst, drawn, K), scores, worst, drawn, K)  # type: ignore[operator]


@pytest.mark.parametrize("work_out", [_on_cpu, _on_device])
def test_what_a_grammar_forbids_is_no_alternative(work_out: object) -> None:
    scores = logits(3)
    allowed = torch.zeros(VOCAB, dtype=torch.bool)
    allowed[[10, 20]] = True
    sampler = Sampler(TokenHistory([]), torch.device("cpu"))
    token = sampler.draw(scores, Sampling(temperature=1, top_k=0, top_p=1), allowed)
    found = work_out(scores, token, sampler.drawn_from, K)  # type: ignore[operator]
    agrees(found, scores, token, sampler.drawn_from, K)
    assert {key for key, (_, after) in found.by_token.items() if after > 0} == {10, 20}


def test_all_tokens_are_equally_likely() -> None:
    scores = torch.zeros(VOCAB)
    found = chances(scores, 17, Drawn(None, scores.softmax(0)), K)
    assert (found.rank_before, found.rank_after) == (1, 1)
    # Two of them may be named twice over, and the drawn one is named as well.
    assert K <= len(found.by_token) <= 2 * K + 1
    assert found.by_token[17] == pytest.approx((1 / VOCAB, 1 / VOCAB))


@pytest.mark.parametrize("num_wrong", [1, VOCAB])
@pytest.mark.parametrize("work_out", [_on_cpu, _on_device])
def test_logits_that_are_no_numbers_are_an_error(work_out: object, num_wrong: int) -> None:
    scores = logits(1)
    scores[:num_wrong] = torch.nan
    with pytest.raises(ModelError):
        work_out(scores, 9, None, K)  # type: ignore[operator]


def test_a_device_needs_no_doubles() -> None:
    scores = logits(2)
    shares = scores.softmax(0)
    for drawn in (None, Drawn(None, shares), Drawn(torch.arange(VOCAB), shares)):
        with NoDoubles():
            found = _on_device(scores, 17, drawn, K)
        agrees(found, scores, 17, drawn, K)
