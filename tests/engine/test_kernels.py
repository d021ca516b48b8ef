"""The compiled kernels, each beside what torch computes."""

import os
import subprocess
import sys
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from chatbot.engine.decode.cpu.attention import attend
from chatbot.engine.decode.cpu.kernels import between_products as kernels
from chatbot.engine.decode.cpu.kernels import routing
from chatbot.engine.decode.cpu.kernels.attention import CHUNK, num_partial_sums, room_for
from chatbot.engine.decode.cpu.kernels.forms import Form
from chatbot.engine.decode.cpu.kernels.instructions import Kind, instruction
from chatbot.engine.decode.cpu.kernels.team import TEAM
from chatbot.engine.decode.cpu.kernels.vectors import HAS_PAIRS, WIDTH

EPSILON = 1e-5


def numbers(*shape: int, spread: float = 1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    return spread * torch.randn(shape, generator=generator)


def test_norms_equal_torchs_and_add_what_they_are_given() -> None:
    rows, product, weight = numbers(3, 70), numbers(3, 70, spread=4), numbers(70)
    found, residual = torch.empty(3, 70), rows.clone()
    kernels.normalise(rows.numpy(), weight.numpy(), EPSILON, found.numpy())
    torch.testing.assert_close(found, functional.rms_norm(rows, (70,), weight, EPSILON))
    kernels.add_and_normalise(
        product.numpy(), weight.numpy(), EPSILON, residual.numpy(), found.numpy()
    )
    torch.testing.assert_close(residual, rows + product, atol=0, rtol=0)
    torch.testing.assert_close(found, functional.rms_norm(residual, (70,), weight, EPSILON))


def test_only_the_heads_that_are_named_are_normalised() -> None:
    heads, weight = numbers(2, 5 * 8), numbers(8)
    expected = heads.clone().view(2, 5, 8)
    expected[:, 1:3] = functional.rms_norm(expected[:, 1:3], (8,), weight, EPSILON)
    kernels.normalise_heads(heads.numpy(), 1, 2, weight.numpy(), EPSILON)
    torch.testing.assert_close(heads, expected.view(2, 40))


@pytest.mark.parametrize("sums_to_one", [True, False])
def test_experts_are_chosen_as_torch_chooses_them(sums_to_one: bool) -> None:
    scores = numbers(40, 13, spread=3)
    expected = scores.softmax(1).topk(4)
    wanted = expected.values
    if sums_to_one:
        wanted = wanted / wanted.sum(1, keepdim=True)
    chosen, shares = torch.empty(40, 4, dtype=torch.int64), torch.empty(40, 4)
    routing.choose(scores.numpy(), sums_to_one, chosen.numpy(), shares.numpy())
    assert torch.equal(chosen, expected.indices)
    torch.testing.assert_close(shares, wanted)


def test_where_scores_are_no_numbers_experts_are_chosen_all_the_same() -> None:
    scores = torch.tensor([[float("nan")] * 5, [1.0, float("nan"), 2.0, 3.0, 0.0]])
    chosen, shares = torch.empty(2, 3, dtype=torch.int64), torch.empty(2, 3)
    routing.choose(scores.numpy(), True, chosen.numpy(), shares.numpy())
    for row in chosen.tolist():
        assert len(set(row)) == 3
        assert set(row) <= set(range(5))
    assert shares[0].isnan().all()


def test_rows_of_an_expert_lie_together_and_find_back() -> None:
    rows, shares = numbers(30, 24), numbers(30, 3)
    chosen = torch.stack([torch.randperm(9)[:3] for _ in range(30)])
    chosen[chosen == 5] = 1  # whom nobody chooses
    groups, places = torch.zeros(3, 11, dtype=torch.int64), torch.empty(30, 3, dtype=torch.int64)
    routing.group(chosen.flatten().numpy(), groups.numpy(), places.numpy().reshape(-1))
    assert places.flatten().sort().values.tolist() == list(range(90))
    number = int(groups[0, 9])
    assert groups[1, :number].tolist() == chosen.unique().tolist()
    first = groups[2, : number + 1].tolist()
    sizes = [end - start for start, end in pairwise(first)]
    assert sizes == chosen.unique(return_counts=True)[1].tolist()
    spread, found = torch.empty(90, 24), torch.empty(30, 24)
    routing.spread(rows.numpy(), places.numpy(), spread.numpy())
    for group in range(number):
        own = (chosen == groups[1, group]).nonzero()[:, 0]
        assert torch.equal(spread[first[group] : first[group + 1]], rows[own])
    routing.collect(spread.numpy(), places.numpy(), shares.numpy(), found.numpy())
    torch.testing.assert_close(found, rows * shares.sum(1, keepdim=True))


@pytest.mark.parametrize("spread", [0.1, 10, 200])
@pytest.mark.parametrize(
    ("gate", "activation", "rtol", "atol"),
    [
        (kernels.gate, functional.silu, 1e-6, 1e-30),
        # Where little is left of a number, torch's tanh is not exact either.
        (kernels.gate_by_gelu, partial(functional.gelu, approximate="tanh"), 2e-6, 1e-12),
    ],
)
def test_the_gate_is_right_however_large_the_numbers_are(
    gate: Any, activation: Any, rtol: float, atol: float, spread: float
) -> None:
    both = numbers(2, 600, spread=spread)
    found = torch.empty(2, 300)
    gate(both.numpy(), found.numpy())
    first, second = both.double().chunk(2, dim=1)
    torch.testing.assert_close(found.double(), activation(first) * second, rtol=rtol, atol=atol)


def kept(numbers: torch.Tensor) -> kernels.Kept:
    """Keys or values, as the kernels see them."""
    is_wide = numbers.dtype == torch.float32
    return (numbers if is_wide else numbers.view(torch.uint16)).numpy()


def attended(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    start: int,
    scale: float,
    window: int = 0,
    bound: float = 0,
) -> torch.Tensor:
    """What compiled code attends to, with rows that are longer than they need be."""
    num_new, num_heads, size = queries.shape
    num_texts, num_kv_heads, capacity, _ = keys.shape
    target = torch.full((num_new, num_heads * size + 3), 7.0)
    end = start + (num_new if num_texts == 1 else 1)
    partial_sums = torch.full((num_partial_sums(num_new, num_heads, size, end),), torch.nan)
    program = instruction(
        Kind.ATTENTION,
        source=queries.data_ptr(),
        target=target.data_ptr(),
        target_size=target.shape[1],
        keys=keys.data_ptr(),
        values=values.data_ptr(),
        kept_form=Form.BF16 if keys.dtype == torch.bfloat16 else Form.FP32,
        num_heads=num_heads,
        num_kv_heads=num_kv_heads,
        head_size=size,
        num_texts=num_texts,
        capacity=capacity,
        scale=scale,
        window=window,
        bound=bound,
        partial_sums=partial_sums.data_ptr(),
    )
    TEAM.run(program, num_new, start, room_for(num_heads, num_kv_heads), 2)
    assert (target[:, -3:] == 7).all()
    return target[:, :-3]


def by_torch(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scale: float, window: int = 0
) -> torch.Tensor:
    """Attention in fp64 of the last tokens, which follow one another in one text or are the last of
    a text each, to all of ``keys`` and ``values``, or to the last ``window`` of them."""
    (num_new, num_heads, size), (num_texts, _, num_tokens, _) = queries.shape, keys.shape
    apart = queries.view(num_texts, -1, num_heads, size).transpose(1, 2).double()
    seen = torch.ones(apart.shape[2], num_tokens).tril(num_tokens - apart.shape[2])
    mask = (seen if window == 0 else seen.triu(num_tokens - apart.shape[2] - window + 1)).bool()
    found = functional.scaled_dot_product_attention(
        apart, keys.double(), values.double(), attn_mask=mask, scale=scale, enable_gqa=True
    )
    return found.transpose(1, 2).reshape(num_new, -1).float()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("num_texts", [1, 3])
@pytest.mark.parametrize("start", [0, 1, 37, CHUNK - 2, 3 * CHUNK + 2])
@pytest.mark.parametrize(("num_shared", "size"), [(1, 16), (2, 64), (3, 20), (7, 32), (4, 6)])
def test_attention_equals_torchs_in_one_text_and_in_several(
    num_shared: int, size: int, start: int, num_texts: int, dtype: torch.dtype
) -> None:
    """For heads that fill vectors and that do not, and chunks that only some tokens see."""
    num_new, num_heads, scale = 3, 2 * num_shared, 0.3
    queries = numbers(num_new, num_heads, size, spread=3)
    keys, values = numbers(2, num_texts, 2, 4 * CHUNK, size, spread=3).to(dtype)
    found = attended(queries, keys, values, start, scale)
    end = start + (num_new if num_texts == 1 else 1)
    expected = by_torch(queries, keys[:, :, :end], values[:, :, :end], scale)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("start", "num_new"), [(0, 1), (0, 300), (3, 40), (CHUNK - 1, CHUNK + 2)])
@pytest.mark.parametrize(("num_shared", "size"), [(1, 16), (3, 64), (2, 20), (7, 32), (5, 96)])
def test_tiles_equal_torchs_attention(
    num_shared: int, size: int, start: int, num_new: int, dtype: torch.dtype
) -> None:
    """For heads that fill panels and that do not, and one tile or more for each head of keys."""
    end = start + num_new
    queries = numbers(num_new, 2 * num_shared, size, spread=3)
    # There is room behind the tokens, and what is there must not count.
    both = torch.full((2, 1, 2, end + 70, size), torch.nan)
    both[:, :, :, :end] = numbers(2, 1, 2, end, size, spread=3)
    keys, values = both.to(dtype)[:, :, :, :end]
    for reading in (queries, queries.transpose(0, 1).contiguous().transpose(0, 1)):
        found = attend(reading, keys, values, 0.2)
        if dtype == torch.bfloat16 and HAS_PAIRS and size % WIDTH == 0:
            # Rounded as the keys are, and so are the weights of values.
            expected = by_torch((0.2 * queries).bfloat16().float(), keys, values, 1)
            torch.testing.assert_close(found, expected, atol=0.02, rtol=1e-2)
        else:
            expected = by_torch(queries, keys, values, 0.2)
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


WINDOWS = [1, 8, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 3, 10 * CHUNK]


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("num_texts", [1, 3])
@pytest.mark.parametrize("start", [0, 37, CHUNK - 2, 3 * CHUNK + 2])
def test_a_few_tokens_see_no_more_than_their_window(
    start: int, num_texts: int, window: int
) -> None:
    queries = numbers(3, 6, 20, spread=3)
    both = numbers(2, num_texts, 2, 4 * CHUNK, 20, spread=3)
    end = start + (3 if num_texts == 1 else 1)
    first = max(end - (2 if num_texts == 1 else 0) - window, 0)
    keys, values = both
    expected = by_torch(queries, keys[:, :, :end], values[:, :, :end], 0.3, window)
    both[:, :, :, :first] = torch.nan  # what none of them sees is not read
    found = attended(queries, keys, values, start, 0.3, window)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("start", [0, 37, 3 * CHUNK + 2])
def test_tiles_see_no_more_than_their_window(start: int, window: int) -> None:
    queries = numbers(300, 6, 64, spread=3)
    keys, values = numbers(2, 1, 2, start + 300, 64, spread=3)
    expected = by_torch(queries, keys, values, 0.2, window)
    first = max(start + 1 - window, 0) // CHUNK * CHUNK
    keys[:, :, :first] = values[:, :, :first] = torch.nan
    found = attend(queries, keys, values, 0.2, window=window)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_scores_are_bent_as_torch_does() -> None:
    start, scale, bound = 2 * CHUNK - 7, 0.3, 2.0
    queries = numbers(40, 6, 20, spread=3)
    keys, values = numbers(2, 1, 2, start + 40, 20, spread=3)
    shared = [each[0].repeat_interleave(3, 0).double() for each in (keys, values)]
    scores = queries.transpose(0, 1).double() @ shared[0].transpose(1, 2) * scale
    assert scores.abs().max() > 10 * bound
    mask = torch.ones(40, start + 40).tril(start).triu(start - 99).bool()
    weights = (bound * (scores / bound).tanh()).masked_fill(~mask, -torch.inf).softmax(-1)
    expected = (weights @ shared[1]).transpose(0, 1).reshape(40, -1).float()
    found = attend(queries, keys, values, scale, window=100, bound=bound)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    few = attended(queries[:3], keys, values, start, scale, 100, bound)
    torch.testing.assert_close(few, expected[:3], atol=1e-4, rtol=1e-4)
    keys[0, 0, start, 3] = torch.nan
    assert attended(queries[:1], keys, values, start, scale, 100, bound)[:, :60].isnan().all()


@pytest.mark.parametrize("window", [None, 8, 200])
def test_what_a_token_attends_to_is_the_same_whatever_is_read_with_it(window: int | None) -> None:
    queries, start = numbers(300, 6, 64), 2 * CHUNK - 7
    both = numbers(2, 1, 2, start + 300, 64).bfloat16()

    def attended_from(first: int, end: int) -> torch.Tensor:
        keys, values = both[:, :, :, : start + end]
        return attend(queries[first:end], keys, values, 0.125, window=window)

    together = attended_from(0, 300)
    for ends in ((17, 300), (100, 101, 300), (64, 128, 192, 256, 300), (299, 300)):
        portions = [attended_from(a, b) for a, b in zip((0, *ends[:-1]), ends, strict=True)]
        assert torch.equal(torch.cat(portions), together)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("place", [0, 200])
def test_nothing_hides_a_key_that_is_no_number(place: int, dtype: torch.dtype) -> None:
    queries = numbers(220, 2, 32)
    keys, values = numbers(2, 1, 1, 220, 32).to(dtype)
    keys[0, 0, place, 3] = torch.nan
    found = attend(queries, keys, values, 0.3)
    assert found[place:].isnan().all()
    assert found[:place].isfinite().all()


@pytest.mark.parametrize("window", [0, 5, CHUNK])
def test_attention_of_a_token_is_the_same_whatever_is_beside_it(window: int) -> None:
    queries, start = numbers(16, 6, 64), 2 * CHUNK - 7
    keys, values = numbers(2, 1, 2, 3 * CHUNK, 64).bfloat16()
    together = attended(queries, keys, values, start, 0.125, window)
    for row in range(16):
        alone = attended(queries[row : row + 1], keys, values, start + row, 0.125, window)
        assert torch.equal(alone, together[row : row + 1])
    twice = keys.repeat(2, 1, 1, 1), values.repeat(2, 1, 1, 1)
    texts = attended(queries[:2], *twice, start, 0.125, window)
    assert torch.equal(texts[0], together[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("is_rotated", [True, False])
@pytest.mark.parametrize("num_rows", [1, 3])
def test_heads_are_turned_and_rounded_as_torch_does(
    num_rows: int, is_rotated: bool, dtype: torch.dtype
) -> None:
    start, size = 2, 16
    projected, turns = numbers(3, 8 * size), numbers(5, size // 2, 2)
    projected[1, 6 * size + 3] = torch.nan  # in a value
    projected[1, 6 * size + 4] = -torch.inf
    heads = projected.view(3, 8, size)
    positions = torch.arange(start, start + 3) if num_rows == 1 else torch.tensor([start] * 3)
    turned = heads[:, :6]
    if is_rotated:
        pairs = torch.complex(turned[..., : size // 2], turned[..., size // 2 :])
        pairs = pairs * torch.view_as_complex(turns)[positions, None]
        turned = torch.view_as_real(pairs).view(3, 6, size)
    queries = torch.empty(3, 4, size)
    keys, values = torch.full((2, num_rows, 2, 5, size), 7.0).to(dtype)
    kernels.place_heads(
        projected.numpy(),
        turns.numpy(),
        start,
        is_rotated,
        queries.numpy(),
        kept(keys),
        kept(values),
    )
    torch.testing.assert_close(queries, turned[:, :4])
    own = torch.zeros(3, dtype=torch.int64) if num_rows == 1 else torch.arange(3)
    torch.testing.assert_close(keys[own, :, positions], turned[:, 4:].to(dtype))
    torch.testing.assert_close(
        values[own, :, positions], heads[:, 6:].to(dtype), atol=0, rtol=0, equal_nan=True
    )
    assert (keys[:, :, :start] == 7).all()


def test_numbers_are_rounded_to_bf16_as_torch_does() -> None:
    """Ties, the numbers around them, the largest and the smallest ones, and those that are none."""
    bits = torch.tensor([0x3F80, 0x3F81, 0x7F7F, 0x0001, 0xBF80, 0x7F80, 0x7FC0, 0xFFFF])
    rest = torch.tensor([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF])
    wide = ((bits[:, None] << 16) | rest).to(torch.uint32).view(torch.float32).reshape(1, -1)
    size = wide.shape[1]
    projected = torch.cat((torch.zeros(1, 2 * size), wide), 1)
    keys, values = torch.zeros(2, 1, 1, 1, size).bfloat16()
    kernels.place_heads(
        projected.numpy(),
        np.zeros((1, size // 2, 2), np.float32),
        0,
        False,
        np.empty((1, 1, size), np.float32),
        kept(keys),
        kept(values),
    )
    torch.testing.assert_close(values.view(1, -1), wide.bfloat16(), atol=0, rtol=0, equal_nan=True)


def test_a_few_tokens_are_masked_as_a_block_is() -> None:
    queries, keys, values = numbers(20, 4, 8), numbers(1, 2, 50, 8), numbers(1, 2, 50, 8, spread=2)
    whole = attend(queries, keys, values, 0.5)
    few = attended(queries[:9], keys, values, 30, 0.5)
    torch.testing.assert_close(few, whole[:9])


def test_nothing_hides_a_number_that_is_none() -> None:
    rows = numbers(1, 32)
    rows[0, 5] = torch.nan
    found = torch.empty(1, 32)
    kernels.normalise(rows.numpy(), numbers(32).numpy(), EPSILON, found.numpy())
    assert found.isnan().all()
    for gate in (kernels.gate, kernels.gate_by_gelu):
        half = torch.empty(1, 16)
        gate(rows.numpy(), half.numpy())
        assert half.isnan().tolist()[0] == [index == 5 for index in range(16)]
    keys = numbers(1, 1, 4, 32)
    assert attended(rows.view(1, 1, 32), keys, keys, 2, 1.0).isnan().all()
    broken = keys.clone()
    broken[0, 0, 1, 7] = torch.nan
    assert attended(keys[:, :, 0], broken, keys, 2, 1.0).isnan().all()
    assert attended(keys[:, :, 0], keys, broken, 2, 1.0).isnan().tolist()[0] == [
        index == 7 for index in range(32)
    ]


def test_a_cache_that_cannot_be_written_costs_time_alone(tmp_path: Path) -> None:
    """The kernels are compiled anew then, in each process."""
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    environment = {**os.environ, "CHATBOT_CACHE_DIR": str(blocked), "NUMBA_CACHE_DIR": ""}
    code = "from chatbot.engine import compiled, vocabulary; print(compiled.numba.config.CACHE_DIR)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert Path(done.stdout.strip()).parent == blocked / "kernels"
