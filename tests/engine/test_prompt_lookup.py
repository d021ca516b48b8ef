"""Guesses from the context: what they are, that they change no answer, and what they may cost."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from chatbot.engine.decode.lookup import (
    MAX_LENGTH,
    MAX_LOSS,
    MAX_LOSS_SHARE,
    Guesses,
    PromptLookup,
)
from chatbot.engine.inbox import Control
from chatbot.engine.kv_cache import CachedModel
from chatbot.engine.token_loop import write_tokens
from chatbot.settings import Sampling
from tests.engine.tiny_models import make_llama

PROMPT = [(5 * n + n // 7) % 8 for n in range(60)]
GREEDY = Sampling(temperature=0, max_tokens=120)


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def model(request: pytest.FixtureRequest) -> Any:
    """Of a vocabulary so small that the same two tokens come again and again."""
    if request.param == "llama":
        return make_llama(vocab_size=16)
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=16,
        n_positions=512,
        n_embd=32,
        n_layer=2,
        n_head=4,
        initializer_range=0.5,
        bos_token_id=1,
        eos_token_id=2,
    )
    return GPT2LMHeadModel(config).eval()


class Counted(CachedModel):
    """Counts its steps after the prompt."""

    num_steps = 0
    num_ahead = 0

    def read(self, tokens: Sequence[int], *rest: Any) -> torch.Tensor:
        self.num_steps += 1
        return super().read(tokens, *rest)

    def read_each(self, tokens: Sequence[int], *rest: Any) -> torch.Tensor:
        self.num_steps += 1
        self.num_ahead += 1
        return super().read_each(tokens, *rest)


def write(cached: CachedModel, prompt: list[int], sampling: Sampling, **options: Any) -> list[int]:
    control = options.pop("control", None) or Control(sampling)
    cached.rewind(prompt, reproducible=sampling.seed is not None)
    loop = write_tokens(
        cached,
        prompt,
        control,
        sampling=sampling,
        context_length=500,
        end_tokens=(),
        **options,
    )
    return [item for item in loop if isinstance(item, int)]


def test_a_guess_is_what_followed_the_longest_match() -> None:
    #                         2 3 stands twice; the first time 9 and 1 are before it, as at the end
    lookup = PromptLookup([9, 1, 2, 3, 40, 41, 42, 43, 44, 8, 1, 2, 3, 50, 51, 9, 1, 2, 3], 0.1)
    assert lookup.guess(99) == [40, 41, 42]
    assert lookup.guess(2) == [40, 41]
    lookup.append(50)
    assert lookup.guess(99) == [51, 9, 1]
    lookup.append(7)
    assert lookup.guess(99) == []


def test_the_latest_of_equal_matches_is_taken() -> None:
    lookup = PromptLookup([1, 2, 3, 40, 0, 1, 2, 3, 50, 5, 1, 2, 3], 0.1)
    assert lookup.guess(1) == [50]


def test_guesses_grow_while_they_are_right() -> None:
    lookup = PromptLookup([*range(50), *range(3)], 0.1)
    assert lookup.guess(99) == [3, 4, 5]
    lookup.settle(3, 3)
    assert len(lookup.guess(99)) == 6
    lookup.settle(6, 6)
    assert len(lookup.guess(99)) == MAX_LENGTH
    lookup.settle(12, 5)
    assert len(lookup.guess(99)) == 6
    lookup.settle(6, 0)
    assert len(lookup.guess(99)) == 2


@pytest.mark.parametrize("row_cost", [0.06, 0.25, 0.5])
def test_wrong_guesses_cost_a_bounded_number_of_steps(row_cost: float) -> None:
    lookup = PromptLookup([1, 2, 3, 4] * 20, row_cost)
    lost = 0.0
    for n in range(1000):
        if guess := lookup.guess(99):
            lost += row_cost * len(guess)
            lookup.settle(len(guess), 0)
        lookup.append(n % 4 + 1)
    assert 0 < lost <= MAX_LOSS + MAX_LOSS_SHARE * 1000 + row_cost * MAX_LENGTH


def test_where_a_token_more_costs_a_whole_step_there_is_no_guess() -> None:
    assert PromptLookup([1, 2, 3, 4] * 20, 1.0).guess(99) == []


def test_an_answer_that_repeats_takes_fewer_steps_and_is_the_same(model: Any) -> None:
    plain = Counted(model)
    expected = write(plain, PROMPT, GREEDY, looks_up=False)
    ahead = Counted(model)
    guesses = Guesses()
    assert write(ahead, PROMPT, GREEDY, guesses=guesses) == expected
    assert plain.num_steps == len(expected)
    assert 0 < ahead.num_ahead < ahead.num_steps < plain.num_steps
    assert guesses.num_right == plain.num_steps - ahead.num_steps
    assert guesses.num_made >= guesses.num_right


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_seeded_answers_are_the_same_with_and_without(model: Any, seed: int) -> None:
    sampling = Sampling(temperature=1.5, top_k=4, top_p=1, seed=seed, max_tokens=120)
    again = Sampling(temperature=1.5, top_k=4, top_p=1, seed=seed, max_tokens=60)
    counted = Counted(model)
    expected = write(CachedModel(model), PROMPT * 2, sampling, looks_up=False)
    assert write(counted, PROMPT * 2, sampling) == expected
    assert counted.num_ahead > 0
    # What was read ahead and left at the end of the cache does no harm.
    assert write(counted, PROMPT * 2, again) == expected[:60]
    follow_up = [*PROMPT * 2, *expected[:60], 5, 6]
    assert write(counted, follow_up, again) == write(CachedModel(model), follow_up, again)


class Alternating:
    """A grammar of two tokens by turns, from the third token on."""

    is_in_call = False

    def __init__(self) -> None:
        self.num_drawn = 0

    @property
    def is_masking(self) -> bool:
        return self.num_drawn >= 2

    def allowed(self, size: int) -> torch.Tensor | None:
        self.num_drawn += 1
        if self.num_drawn < 3:
            return None
        mask = torch.zeros(size, dtype=torch.bool)
        mask[6 + self.num_drawn % 2] = True
        return mask

    def refuses(self, token: int) -> bool:
        return False

    def closing(self) -> tuple[int, ...]:
        return ()


def test_a_grammar_decides_over_guesses_too(model: Any) -> None:
    cached = Counted(model)
    tokens = write(cached, PROMPT, GREEDY, guide=Alternating())
    assert tokens[2:] == [7 if n % 2 else 6 for n in range(3, 121)]
    assert cached.num_ahead > 0


def test_settings_and_cancel_act_between_confirmed_guesses(model: Any) -> None:
    expected = write(CachedModel(model), PROMPT, GREEDY, looks_up=False)
    hot = Sampling(temperature=2, top_k=0, top_p=1, seed=4, max_tokens=120)
    control = Control(GREEDY)
    cached = CachedModel(model)
    loop = write_tokens(cached, PROMPT, control, sampling=GREEDY, context_length=500, end_tokens=())
    tokens = [next(loop) for _ in range(100)]  # repeating by now
    assert tokens == expected[:100]
    control.sampling = hot
    assert next(loop) is hot
    tokens = [next(loop) for _ in range(10)]
    assert tokens != expected[100:110]
    control.is_cancelled = True
    with pytest.raises(StopIteration) as end:
        next(loop)
    assert end.value.value == "cancelled"
