"""What is kept for a seeded answer, and that it is as if nothing had been kept."""

import random
from typing import Any

import pytest
import torch

from chatbot.engine.decode.cpu.preparing import prepare_for_cpu
from chatbot.engine.inbox import Control
from chatbot.engine.kv_cache import CachedModel
from chatbot.engine.reading import read_prompt
from chatbot.settings import Precision, Sampling
from tests.engine.tiny_models import make_llama

BLOCK = 64
TEXT = [(11 * n) % 390 + 3 for n in range(320)]


def make_cached(precision: Precision = "bf16") -> CachedModel:
    model: Any = make_llama().bfloat16()
    prepare_for_cpu(model, precision)
    cached = CachedModel(model)
    cached.block_size = BLOCK
    if not cached._decoder.exact_from:
        pytest.skip("a library multiplies on this processor")
    return cached


def read(cached: CachedModel, prompt: list[int], *, reproducible: bool) -> tuple[int, torch.Tensor]:
    """How many tokens were kept, and the logits after the prompt."""
    kept = cached.rewind(prompt, reproducible=reproducible)
    return kept, read_prompt(cached, prompt[kept:], Control(Sampling())).clone()


@pytest.mark.parametrize("precision", ["bf16", "8-bit", "4-bit"])
def test_logits_are_those_of_an_empty_cache_whatever_was_read(precision: Precision) -> None:
    cold, warm = make_cached(precision), make_cached(precision)
    rng = random.Random(7)
    most_kept = 0
    for _ in range(40):
        # Turns that begin alike and part somewhere, and then a few tokens, one by one or guessed.
        size = rng.randint(1, len(TEXT))
        prompt = [*TEXT[:size], *(rng.randint(3, 390) for _ in range(rng.choice((0, 3, 20, 90))))]
        kept, found = read(warm, prompt, reproducible=rng.random() < 0.7)
        if kept in (0, len(prompt) - 1) or rng.random() < 0.5:
            kept, found = read(warm, prompt, reproducible=True)
            cold.clear()
            _, expected = read(cold, prompt, reproducible=True)
            assert torch.equal(found, expected)
            most_kept = max(most_kept, kept % BLOCK)
        for token in TEXT[:5]:
            warm.read([token])
        if rng.random() < 0.5:
            warm.read_each([7, 8, 9])
            warm.take_back(2)
    assert most_kept > 0  # more than whole blocks


@pytest.mark.parametrize(
    ("before", "now", "kept"),
    [
        (230, 300, 230),  # all that was read
        (230, 240, 223),  # but for what a portion needs at least: 17 tokens
        (230, 231, 214),
        (230, 210, 193),
        (230, 208, 192),  # the fourth block has too few of them anyway
        (203, 260, 192),  # where there were too few before, they are not kept
        (256, 300, 256),
        (256, 260, 256),
        (40, 320, 40),
        (16, 320, 0),
    ],
)
def test_what_is_kept_leaves_no_portion_too_small(before: int, now: int, kept: int) -> None:
    cached = make_cached()
    assert cached._least == 17
    read(cached, TEXT[:before], reproducible=True)
    assert cached.rewind(TEXT[:now], reproducible=True) == kept


def test_an_answer_is_not_kept_but_the_prompt_is() -> None:
    cached = make_cached()
    read(cached, TEXT[:100], reproducible=True)
    for token in TEXT[100:150]:
        cached.read([token])
    assert cached.rewind(TEXT[:200], reproducible=True) == 100
