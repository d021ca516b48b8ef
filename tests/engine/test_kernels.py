"""The compiled kernels, each beside what torch computes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from chatbot.engine.decode import kernels
from chatbot.engine.decode.attention import attend, mask_for

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


@pytest.mark.parametrize("spread", [0.1, 10, 200])
def test_the_gate_is_silu_however_large_the_numbers_are(spread: float) -> None:
    both = numbers(2, 600, spread=spread)
    found = torch.empty(2, 300)
    kernels.gate(both.numpy(), found.numpy())
    first, second = both.double().chunk(2, dim=1)
    torch.testing.assert_close(
        found.double(), functional.silu(first) * second, rtol=1e-6, atol=1e-30
    )


@pytest.mark.parametrize("num_rows", [1, 3])
@pytest.mark.parametrize("start", [0, 1, 37])
def test_attention_equals_torchs_in_one_text_and_in_several(num_rows: int, start: int) -> None:
    num_new, size, scale = 3, 16, 0.3
    queries = numbers(num_new, 6, size, spread=3)
    keys, values = numbers(2, num_rows, 2, 64, size, spread=3)
    found, room = torch.empty(num_new, 6 * size), np.empty((3, 64), np.float32)
    kernels.attend(queries.numpy(), keys.numpy(), values.numpy(), start, scale, room, found.numpy())
    end = start + (num_new if num_rows == 1 else 1)
    mask = mask_for(num_new, start, 3, torch.float32) if num_rows == 1 else None
    expected = attend(queries, keys[:, :, :end], values[:, :, :end], mask, scale)
    torch.testing.assert_close(found, expected)


def test_a_few_tokens_are_masked_as_a_block_is() -> None:
    queries, keys, values = numbers(20, 4, 8), numbers(1, 2, 50, 8), numbers(1, 2, 50, 8, spread=2)
    whole = attend(queries, keys, values, mask_for(20, 30, 2, torch.float32), 0.5)
    few = attend(
        queries[:9], keys[:, :, :39], values[:, :, :39], mask_for(9, 30, 2, torch.float32), 0.5
    )
    torch.testing.assert_close(few, whole[:9])


def test_nothing_hides_a_number_that_is_none() -> None:
    rows = numbers(1, 32)
    rows[0, 5] = torch.nan
    found = torch.empty(1, 32)
    kernels.normalise(rows.numpy(), numbers(32).numpy(), EPSILON, found.numpy())
    assert found.isnan().all()
    half = torch.empty(1, 16)
    kernels.gate(rows.numpy(), half.numpy())
    assert half.isnan().tolist()[0] == [index == 5 for index in range(16)]
    keys = numbers(1, 1, 4, 32)
    room = np.empty((1, 4), np.float32)
    kernels.attend(
        rows.view(1, 1, 32).numpy(), keys.numpy(), keys.numpy(), 2, 1.0, room, found.numpy()
    )
    assert found.isnan().all()
    for bad in (torch.nan, torch.inf):
        rows[0, 5] = bad
        steps, sizes = np.empty((2, 32), np.float32), np.empty(1, np.float32)
        kernels.split_steps(rows.numpy(), 63, 126, steps, sizes)
        assert np.isnan(sizes).all()


def test_steps_and_their_rests_are_the_numbers_again() -> None:
    rows = torch.cat((numbers(2, 40), torch.zeros(1, 40)))
    steps, sizes = np.empty((6, 40), np.float32), np.empty(3, np.float32)
    kernels.split_steps(rows.numpy(), 63, 126, steps, sizes)
    assert np.abs(steps[:2]).max() == pytest.approx(63)
    assert np.abs(steps[3:]).max() <= 63
    joined = np.empty((3, 40), np.float32)
    kernels.join_steps(np.rint(steps), sizes, 126, joined)
    error = np.abs(joined - rows.numpy()).max(1)
    assert (error <= 0.51 * sizes / 126).all()


def test_a_cache_that_cannot_be_written_costs_time_alone(tmp_path: Path) -> None:
    """The kernels are compiled anew then, in each process."""
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    environment = {**os.environ, "CHATBOT_CACHE_DIR": str(blocked), "NUMBA_CACHE_DIR": ""}
    code = "from chatbot.engine import compiled, vocabulary; print(compiled.numba.config.CACHE_DIR)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(blocked / "kernels")
