"""Models that are not all attention: what is read in portions comes to what it does at once."""

import copy
from typing import Any

import pytest
import transformers as tf
from torch import Tensor

from chatbot.engine.decode.cpu.preparing import prepare_for_cpu
from chatbot.engine.inbox import Control
from chatbot.engine.kv_cache import CachedModel
from chatbot.engine.reading import read_prompt
from chatbot.errors import ModelError
from chatbot.settings import Precision, Sampling
from tests.engine.hybrids import HYBRIDS, SIZES, WINDOWED, WITH_ATTENTION, hybrid, logits_at_once

TEXT = [(7 * n * n + 3 * n) % 400 + 3 for n in range(620)]
FAMILIES = [*HYBRIDS, *WINDOWED]


def never() -> bool:
    return False


def assert_same(found: Tensor, expected: Tensor) -> None:
    assert float((found - expected).abs().max()) < 2e-3 * float(expected.std())


@pytest.mark.parametrize("name", FAMILIES)
def test_a_prompt_and_an_answer_come_to_what_they_do_at_once(name: str) -> None:
    expected = logits_at_once(hybrid(name), TEXT)
    cached = CachedModel(hybrid(name))
    logits = read_prompt(cached, TEXT[:549], Control(Sampling()))
    assert_same(logits, expected[548])
    for place in range(549, 560):
        assert_same(cached.read(TEXT[place : place + 1]), expected[place])
    # The next turn.
    assert cached.rewind(TEXT, reproducible=False) == 560
    assert_same(read_prompt(cached, TEXT[560:], Control(Sampling())), expected[-1])


@pytest.mark.parametrize("name", FAMILIES)
def test_a_few_tokens_behind_others_count_all_before_them(name: str) -> None:
    expected = logits_at_once(hybrid(name), TEXT[:120])
    cached = CachedModel(hybrid(name))
    start = 0
    for size in (1, 1, 2, 80, 1, 3, 1, 17):
        found = cached.read_each(TEXT[start : start + size])
        assert_same(found, expected[start : start + size])
        start += size


@pytest.mark.parametrize("name", FAMILIES)
def test_rows_go_on_behind_what_was_read_and_leave_it_alone(name: str) -> None:
    expected = logits_at_once(hybrid(name), TEXT[:120])
    cached = CachedModel(hybrid(name))
    cached.read(TEXT[:100])
    batch = cached.branch(3)
    rows = batch.read([TEXT[100], 5, TEXT[100]], never)
    assert_same(rows[0], expected[100])
    assert_same(rows[2], expected[100])
    batch.select([2, 1])
    assert_same(batch.read([TEXT[101], 9], never)[0], expected[101])
    assert_same(cached.read(TEXT[100:101]), expected[100])
    assert_same(cached.read(TEXT[101:120]), expected[119])


@pytest.mark.parametrize("precision", ["fp32", "bf16", "8-bit", "4-bit"])
@pytest.mark.parametrize("name", HYBRIDS)
def test_which_families_read_no_portions_is_found_by_trying(
    name: str, precision: Precision
) -> None:
    model = copy.deepcopy(hybrid(name))
    prepare_for_cpu(model if precision == "fp32" else model.bfloat16(), precision)
    cached = CachedModel(model)
    reads_whole_prompts = cached.block_size > 2**30
    # Those of transformers' Mamba 1.
    assert reads_whole_prompts == (name in ("mamba", "falcon mamba", "jamba"))
    if precision == "fp32":
        assert_same(cached.read(TEXT[:60]), logits_at_once(hybrid(name), TEXT[:60])[-1])


SEALED: list[tuple[str, dict[str, Any]]] = [
    ("rwkv", {**SIZES, "attention_hidden_size": 32, "pad_token_id": None}),
    ("recurrent_gemma", {**WITH_ATTENTION, "attention_window_size": 64}),
    ("minimax", {**WITH_ATTENTION, "head_dim": 8, "num_local_experts": 2, "block_size": 32}),
]


@pytest.mark.parametrize(("kind", "sizes"), SEALED, ids=lambda item: item)
def test_who_keeps_what_it_read_elsewhere_is_refused(kind: str, sizes: dict[str, Any]) -> None:
    model = tf.AutoModelForCausalLM.from_config(tf.AutoConfig.for_model(kind, **sizes)).eval()
    with pytest.raises(ModelError, match="in a way of its own"):
        CachedModel(model)
