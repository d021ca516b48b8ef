"""Each sampling rule equals the logits processor of transformers."""

from collections.abc import Sequence

import msgspec
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

from chatbot.engine import sampling as rules
from chatbot.engine.device_sampling import DeviceSampler
from chatbot.engine.drawing import DrawingRun
from chatbot.engine.history import TokenHistory
from chatbot.engine.sampling import Sampler, candidates
from chatbot.errors import ModelError
from chatbot.settings import Sampling

CPU = torch.device("cpu")
NO_IDS = torch.zeros((1, 0), dtype=torch.int64)


def logits(vocab: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(vocab, generator=torch.Generator().manual_seed(seed)) * 4


def survivors(processor: object, scores: torch.Tensor) -> set[int]:
    processed = processor(NO_IDS, scores[None].clone())[0]
    return set(processed.isfinite().nonzero().squeeze(1).tolist())


def ids(tensor: torch.Tensor) -> set[int]:
    return set(tensor.tolist())


@pytest.mark.parametrize("k", [1, 2, 7, 50, 399, 400, 401, 100_000])
@pytest.mark.parametrize("seed", range(3))
def test_top_k_equals_transformers(k: int, seed: int) -> None:
    scores = logits(400, seed)
    assert ids(rules.keep_top_k(scores, k)) == survivors(TopKLogitsWarper(k), scores)


@pytest.mark.parametrize("p", [0.01, 0.1, 0.5, 0.9, 0.95, 0.999])
@pytest.mark.parametrize("vocab", [1, 2, 40, 5000])
@pytest.mark.parametrize("seed", range(3))
def test_top_p_equals_transformers(p: float, vocab: int, seed: int) -> None:
    scores = logits(vocab, seed)
    assert ids(rules.keep_top_p(scores, p)) == survivors(TopPLogitsWarper(p), scores)


def test_top_p_of_a_flat_distribution_needs_more_than_the_first_candidates() -> None:
    scores = logits(5000) / 100
    kept = rules.keep_top_p(scores, 0.9)
    assert len(kept) > 2 * rules.NUCLEUS_CANDIDATES
    assert ids(kept) == survivors(TopPLogitsWarper(0.9), scores)


@pytest.mark.parametrize("min_p", [0.0, 0.01, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_min_p_equals_transformers(min_p: float, seed: int) -> None:
    scores = logits(400, seed)
    assert ids(rules.keep_min_p(scores, min_p)) == survivors(MinPLogitsWarper(min_p), scores)


@pytest.mark.parametrize("k", [1, 50, rules.MOST_INSERTED, rules.MOST_INSERTED + 1])
@pytest.mark.parametrize("seed", range(3))
def test_top_k_of_a_whole_vocabulary_keeps_all_that_tie(k: int, seed: int) -> None:
    scores = logits(50_000, seed).round().clamp(max=10)  # hundreds are the likeliest
    scores[::3] = -torch.inf
    found = rules.keep_top_k(scores, k)
    assert torch.equal(found, found.sort().values)
    assert ids(found) == survivors(TopKLogitsWarper(k), scores)
    assert len(found) > k


@pytest.mark.parametrize("scale", [0.1, 1.0, 4.0, 12.0])
@pytest.mark.parametrize("p", [0.01, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("seed", range(2))
def test_top_p_of_a_whole_vocabulary_equals_transformers(p: float, scale: float, seed: int) -> None:
    """Peaked, so that a few decide, and so flat that most of it is needed."""
    scores = logits(50_000, seed) * scale / 4
    scores[::7] = -torch.inf
    found = ids(rules.keep_top_p(scores, p))
    expected = survivors(TopPLogitsWarper(p), scores)
    # 50,000 shares in fp32 are not added up alike: one more or less at the edge of the nucleus.
    assert len(found ^ expected) <= max(1, len(expected) // 2000)


def test_ties_fall_as_in_transformers() -> None:
    scores = torch.tensor([1.0, 3.0, 3.0, 2.0, 3.0, 2.0, 0.0])
    for k in range(1, 8):
        assert ids(rules.keep_top_k(scores, k)) == survivors(TopKLogitsWarper(k), scores)
    for p in (0.1, 0.3, 0.5, 0.8, 0.95):
        assert ids(rules.keep_top_p(scores, p)) == survivors(TopPLogitsWarper(p), scores)
    for p in (0.1, 0.36, 0.37, 1.0):
        assert ids(rules.keep_min_p(scores, p)) == survivors(MinPLogitsWarper(p), scores)


@pytest.mark.parametrize("penalty", [0.5, 1.0, 1.3, 2.0])
def test_repetition_penalty_equals_transformers(penalty: float) -> None:
    scores = logits(400)
    tokens = torch.randint(400, (60,), generator=torch.Generator().manual_seed(1)).tolist()
    history = TokenHistory(tokens)
    expected = RepetitionPenaltyLogitsProcessor(penalty)(torch.tensor([tokens]), scores[None])[0]
    actual = rules.penalise_repetition(scores, history.seen(scores), penalty)
    torch.testing.assert_close(actual, expected, rtol=0, atol=0)


def test_repetition_penalty_by_hand() -> None:
    scores = torch.tensor([2.0, -2.0, 4.0, -4.0])
    result = rules.penalise_repetition(scores, torch.tensor([0, 1]), 2.0)
    assert result.tolist() == [1.0, -4.0, 4.0, -4.0]


def test_tokens_beyond_the_output_vocabulary_are_left_alone() -> None:
    history = TokenHistory([1, 7, 3])
    scores = logits(4)
    assert history.seen(scores).tolist() == [1, 3]
    settings = Sampling(temperature=0, repetition_penalty=1.5, no_repeat_ngram_size=1)
    assert Sampler(history, CPU).draw(scores, settings) in (0, 2)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_no_repeat_ngram_equals_transformers_while_the_answer_grows(size: int) -> None:
    generator = torch.Generator().manual_seed(size)
    tokens = torch.randint(6, (40,), generator=generator).tolist()
    history = TokenHistory(tokens[:2])
    processor = NoRepeatNGramLogitsProcessor(size)
    for end in range(2, len(tokens)):
        scores = logits(6, end)
        expected = processor(torch.tensor([tokens[:end]]), scores[None].clone())[0]
        actual = rules.forbid(scores, history.would_repeat(size))
        assert torch.equal(actual, expected)
        history.append(tokens[end])


def test_the_ngram_size_may_change_from_token_to_token() -> None:
    history = TokenHistory([1, 2, 3, 1, 2])
    assert history.would_repeat(3) == [3]
    assert history.would_repeat(2) == [3]
    assert history.would_repeat(1) == [1, 2, 3]
    assert history.would_repeat(9) == []


@pytest.mark.parametrize(
    "settings",
    [
        Sampling(),
        Sampling(temperature=1.7, top_k=0, top_p=0.8, min_p=0.02),
        Sampling(temperature=0.3, top_k=5, top_p=1.0),
        Sampling(temperature=1.0, top_k=0, top_p=1.0, min_p=0.1),
        Sampling(temperature=2.0, top_k=1000, top_p=0.9),
        Sampling(temperature=0.8, top_k=0, top_p=1.0),
    ],
)
@pytest.mark.parametrize("vocab", [400, 5000])
def test_all_rules_together_equal_the_list_that_generate_builds(
    settings: Sampling, vocab: int
) -> None:
    scores = logits(vocab, 3)
    warpers = LogitsProcessorList([TemperatureLogitsWarper(settings.temperature)])
    if settings.top_k:
        warpers.append(TopKLogitsWarper(settings.top_k))
    if settings.top_p < 1:
        warpers.append(TopPLogitsWarper(settings.top_p))
    if settings.min_p:
        warpers.append(MinPLogitsWarper(settings.min_p))
    expected = warpers(NO_IDS, scores[None].clone())[0].softmax(0)
    kept, values = candidates(scores, settings)
    actual = values.softmax(0)
    if kept is not None:
        actual = torch.zeros_like(expected).scatter(0, kept, actual)
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-7)


def test_temperature_zero_takes_the_likeliest() -> None:
    scores = logits(400)
    sampler = Sampler(TokenHistory([]), CPU)
    assert sampler.draw(scores, Sampling(temperature=0)) == int(scores.argmax())


@pytest.mark.parametrize("temperature", [2e-6, 9e-7, 1e-30, 1e-38, 1e-40, 1e-50])
@pytest.mark.parametrize(
    "others", [{}, {"top_k": 0, "top_p": 1}, {"top_k": 0, "top_p": 0.9}, {"min_p": 0.1}]
)
def test_tiny_temperatures_take_the_likeliest(temperature: float, others: dict[str, float]) -> None:
    scores = logits(5000)
    sampling = msgspec.structs.replace(Sampling(temperature=temperature, seed=1), **others)
    run = DrawingRun(5000, CPU, None)
    for sampler in (
        Sampler(TokenHistory([]), CPU),
        DeviceSampler(TokenHistory([]), CPU, lambda _: run),
    ):
        assert sampler.draw(scores, sampling) == int(scores.argmax())
        assert (sampler.drawn_from is None) == (temperature < 1e-6)


def test_k_of_one_is_greedy() -> None:
    scores = logits(400)
    sampler = Sampler(TokenHistory([]), CPU)
    draws = {sampler.draw(scores, Sampling(temperature=2, top_k=1)) for _ in range(20)}
    assert draws == {int(scores.argmax())}


def test_a_seed_repeats_and_no_seed_does_not() -> None:
    scores = torch.zeros(400)
    settings = Sampling(temperature=1, top_k=0, top_p=1, seed=5)

    def draws(settings: Sampling) -> list[int]:
        sampler = Sampler(TokenHistory([]), CPU)
        return [sampler.draw(scores, settings) for _ in range(8)]

    assert draws(settings) == draws(settings)
    unseeded = Sampling(temperature=1, top_k=0, top_p=1)
    assert draws(unseeded) != draws(unseeded)


def test_a_changed_seed_acts_at_once() -> None:
    scores = torch.zeros(400)
    sampler = Sampler(TokenHistory([]), CPU)
    flat = {"temperature": 1, "top_k": 0, "top_p": 1}
    first = [sampler.draw(scores, Sampling(**flat, seed=1)) for _ in range(4)]
    sampler.draw(scores, Sampling(**flat, seed=2))
    assert [sampler.draw(scores, Sampling(**flat, seed=1)) for _ in range(4)] == first


def test_an_answer_goes_on_by_the_draws_that_it_would_have_had() -> None:
    scores = torch.zeros(400)
    settings = Sampling(temperature=1, top_k=0, top_p=1, seed=5)

    def drawn_after(tokens: list[int], num: int) -> list[int]:
        history = TokenHistory(tokens)
        sampler = Sampler(history, CPU)
        drawn = []
        for _ in range(num):
            drawn.append(sampler.draw(scores, settings))
            history.append(drawn[-1])
        return drawn

    whole = drawn_after([1, 2], 8)
    assert len(set(whole)) > 4
    assert drawn_after([1, 2, *whole[:4]], 4) == whole[4:]


@pytest.mark.parametrize("seeds", [[3] * 4000, range(4000)])
def test_draws_of_other_places_or_seeds_have_nothing_in_common(seeds: Sequence[int]) -> None:
    scores = torch.tensor([0.0, 1.0, 2.0, -20.0])
    history = TokenHistory([])
    sampler = Sampler(history, CPU)
    draws = []
    for seed in seeds:
        settings = Sampling(temperature=1, top_k=0, top_p=1, seed=seed)
        draws.append(sampler.draw(scores, settings))
        if isinstance(seeds, list):  # one seed, and so other places
            history.append(0)
    pairs = torch.tensor(draws).reshape(-1, 2)
    shares = torch.zeros(4, 4).index_put_((*pairs.T,), torch.tensor(1 / 2000), accumulate=True)
    chances = scores.softmax(0)
    torch.testing.assert_close(shares, chances.outer(chances), rtol=0, atol=0.03)


def test_frequencies_follow_the_probabilities() -> None:
    scores = torch.tensor([0.0, 1.0, 2.0, -20.0])
    sampler = Sampler(TokenHistory([]), CPU)
    settings = Sampling(temperature=1, top_k=0, top_p=1, seed=0)
    draws = torch.tensor([sampler.draw(scores, settings) for _ in range(4000)])
    shares = torch.bincount(draws, minlength=4) / 4000
    torch.testing.assert_close(shares, scores.softmax(0), rtol=0, atol=0.03)


@pytest.mark.parametrize("temperature", [0, 1])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_overflowed_logits_are_an_error_the_user_can_act_on(temperature: float, bad: float) -> None:
    scores = logits(400)
    scores[7] = bad
    with pytest.raises(ModelError, match="bf16"):
        Sampler(TokenHistory([]), CPU).draw(scores, Sampling(temperature=temperature))
