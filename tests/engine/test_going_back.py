"""Chats with models whose layers cannot be cut at the end: what is read again, and what not."""

import json
import random
from typing import Any

import pytest
import torch
from torch import Tensor

from chatbot.engine.decode import snapshots
from chatbot.engine.decode.decoder import Interrupted
from chatbot.engine.decode.forward import Forward
from chatbot.engine.decode.snapshots import Snapshots
from chatbot.engine.inbox import Control
from chatbot.engine.kv_cache import NUM_APART, CachedModel
from chatbot.engine.reading import read_prompt
from chatbot.models.counting import shape_of
from chatbot.models.memory import cache_bytes
from chatbot.models.shape import TextConfig
from chatbot.models.states import layer_kinds
from chatbot.settings import Sampling
from tests.engine.hybrids import HYBRIDS, WINDOWED, hybrid, logits_at_once

TEXT = [(7 * n * n + 3 * n) % 400 + 3 for n in range(1400)]
PROMPT = TEXT[:900]
APART = 900 - NUM_APART
FAMILIES = [*HYBRIDS, *WINDOWED]
WITHOUT_PORTIONS = ("mamba", "falcon mamba", "jamba")


def read(
    cached: CachedModel, prompt: list[int], *, reproducible: bool = False
) -> tuple[int, Tensor]:
    """How many tokens were kept, and the logits after the prompt."""
    kept = cached.rewind(prompt, reproducible=reproducible)
    return kept, read_prompt(cached, prompt[kept:], Control(Sampling())).clone()


def answer(cached: CachedModel, num_tokens: int = 30) -> list[int]:
    tokens = TEXT[1000 : 1000 + num_tokens]
    for token in tokens:
        cached.read([token])
    return tokens


def assert_right(name: str, prompt: list[int], logits: Tensor) -> None:
    expected = logits_at_once(hybrid(name), prompt)
    assert float((logits - expected[-1]).abs().max()) < 2e-3 * float(expected.std())


@pytest.mark.parametrize("name", FAMILIES)
def test_another_answer_and_a_turn_without_thoughts_keep_the_history(name: str) -> None:
    cached = CachedModel(hybrid(name))
    read(cached, PROMPT)
    answer(cached)
    kept, logits = read(cached, PROMPT)
    assert kept == APART
    assert_right(name, PROMPT, logits)
    said = answer(cached)
    # As templates do that end a prompt with the beginning of a thought, and leave thoughts out.
    following = [*PROMPT[:-5], *said[20:], *TEXT[1100:1140]]
    kept, logits = read(cached, following)
    assert kept == APART
    assert_right(name, following, logits)


@pytest.mark.parametrize("name", FAMILIES)
def test_an_edit_goes_back_to_where_the_question_began(name: str) -> None:
    cached = CachedModel(hybrid(name))
    read(cached, PROMPT)
    begun = [*PROMPT, *answer(cached)]
    read(cached, [*begun, *TEXT[1100:1160]])
    answer(cached)
    edited = [*begun, *TEXT[1200:1260]]
    kept, logits = read(cached, edited)
    assert kept == len(begun)
    assert_right(name, edited, logits)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_prompt_that_is_broken_off_keeps_the_blocks_before(name: str) -> None:
    cached = CachedModel(hybrid(name))
    num_asked = 0

    def is_cancelled() -> bool:
        nonlocal num_asked
        num_asked += 1
        return num_asked > 2

    read(cached, TEXT[:512])
    size = cached.num_tokens
    cached.note_place()
    with pytest.raises(Interrupted):
        cached.read(TEXT[512:700], is_cancelled)
    assert cached.num_tokens == size
    kept, logits = read(cached, TEXT[:700])
    assert kept == size
    assert_right(name, TEXT[:700], logits)


@pytest.mark.parametrize("name", FAMILIES)
def test_stopping_an_answer_loses_none_of_it(name: str) -> None:
    cached = CachedModel(hybrid(name))
    read(cached, PROMPT)
    said = answer(cached)
    cached.read([7], lambda: True)
    assert cached.rewind([*PROMPT, *said, 7, 8], reproducible=False) == 900 + len(said) + 1


@pytest.mark.parametrize("name", FAMILIES)
def test_seeded_logits_are_those_of_an_empty_cache_whatever_was_read(name: str) -> None:
    cold, warm = CachedModel(hybrid(name)), CachedModel(hybrid(name))
    if cold.block_size == 256:
        cold.block_size = warm.block_size = cold._least = warm._least = 64
    rng = random.Random(3)
    most_kept = 0
    for _ in range(20):
        size = rng.randint(1, 300)
        prompt = [*TEXT[:size], *(rng.randint(3, 390) for _ in range(rng.choice((0, 3, 20, 90))))]
        is_seeded = rng.random() < 0.7
        kept, found = read(warm, prompt, reproducible=is_seeded)
        if is_seeded:
            cold.clear()
            _, expected = read(cold, prompt, reproducible=True)
            assert torch.equal(found, expected)
            most_kept = max(most_kept, kept)
        answer(warm, 3)
    assert (most_kept == 0) == (name in WITHOUT_PORTIONS)


def test_what_is_kept_is_bounded_and_counted() -> None:
    cached = CachedModel(hybrid("qwen 3.5"))
    read(cached, PROMPT[:40])
    # Keys and values of 40 tokens, and convolution and state of two layers, now and once before.
    state = 4 * (64 * 4 + 4 * 8 * 8)
    assert cached.num_cache_bytes == 4 * 2 * 2 * 16 * 40 + 2 * 2 * state
    for size in range(80, 1300, 40):
        read(cached, TEXT[:size])
    most = snapshots.MOST_SNAPSHOTS + 1
    assert cached.num_cache_bytes == 4 * 2 * 2 * 16 * 1280 + most * 2 * state


def test_one_copy_is_kept_however_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "MOST_SNAPSHOT_BYTES", 1)
    cached = CachedModel(hybrid("lfm 2"))
    read(cached, PROMPT)
    answer(cached)
    assert read(cached, PROMPT)[0] == APART
    assert cached.rewind(PROMPT[:500], reproducible=False) == 0


def test_places_are_the_rarer_the_farther_back_they_lie() -> None:
    forward = Forward(hybrid("lfm 2"))
    cache, taken = forward.new_cache(), Snapshots()
    for length in range(100, 5000, 100):
        taken.take(cache, length)
    places = list(taken._states)
    assert len(places) == snapshots.MOST_SNAPSHOTS
    assert places[-2:] == [4800, 4900]
    gaps = [after - before for before, after in zip([0, *places], places, strict=False)]
    assert gaps == sorted(gaps, reverse=True)
    assert taken.go_back(cache, 4899) == 4800
    assert list(taken._states) == places[:-1]


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_reckoned_is_what_is_kept(name: str) -> None:
    cached = CachedModel(hybrid(name))
    for size in range(40, 401, 40):
        read(cached, TEXT[:size])
    shape = shape_of(json.loads(hybrid(name).config.to_json_string()))
    reckoned = cache_bytes(shape, "fp32", 400, on_cpu=True)
    if name == "kimi linear":  # it keeps a digest of 24 numbers, not keys and values of four heads
        reckoned -= 400 * 4 * (2 * 4 * 8 - 24)
    # A few bytes are numbers that layers with a window keep beside it.
    assert 0 <= cached.num_cache_bytes - reckoned <= 9 * 3 * 8


@pytest.mark.parametrize(
    ("content", "attentions", "states"),
    [
        ({"model_type": "qwen3_next", "full_attention_interval": 4}, 12, 36),
        ({"model_type": "lfm2", "full_attn_idxs": [2, 5, 8]}, 3, 45),
        ({"model_type": "jamba", "attn_layer_period": 8, "attn_layer_offset": 4}, 6, 42),
        ({"model_type": "nemotron_h", "hybrid_override_pattern": "M-M-M*-" * 6}, 6, 18),
        ({"model_type": "kimi_linear", "linear_attn_config": {"full_attn_layers": [4, 8]}}, 2, 46),
        ({"model_type": "llama"}, 48, 0),
    ],
)
def test_layers_are_told_apart_as_the_hub_writes_them(
    content: dict[str, Any], attentions: int, states: int
) -> None:
    sizes = {"num_hidden_layers": 48, "hidden_size": 64, "vocab_size": 100}
    config = TextConfig({**sizes, "num_attention_heads": 4, **content})
    assert layer_kinds(config) == (attentions, states)
