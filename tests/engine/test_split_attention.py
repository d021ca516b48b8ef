"""Attention in parts, against torch's in one."""

import pytest
import torch
from torch.nn import functional

from chatbot.engine.decode.gpu.split_attention import PART, attend_in_parts, can_split
from chatbot.engine.decode.gpu.static_fused_step import MASKED

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-5), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize(("num_kv_heads", "num_shared", "size"), [(8, 4, 128), (3, 3, 64)])
@pytest.mark.parametrize("position", [3, PART - 1, PART, 3 * PART + 70, 6 * PART - 1])
def test_parts_come_to_the_same(
    device: str,
    dtype: torch.dtype,
    tolerance: float,
    num_kv_heads: int,
    num_shared: int,
    size: int,
    position: int,
) -> None:
    torch.manual_seed(0)
    kept = torch.randn(2, num_kv_heads, 8 * PART, size, dtype=dtype, device=device)
    keys, values = kept[:, :, : 6 * PART]
    queries = 2 * torch.randn(num_kv_heads, num_shared, size, dtype=dtype, device=device)
    mask = torch.zeros(1, 6 * PART, dtype=dtype, device=device)
    mask[:, position + 1 :] = MASKED
    if device == "cuda":
        assert can_split(torch.device(device), dtype, size)
    scale = 0.7 * size**-0.5
    found = attend_in_parts(queries, keys, values, mask, scale)
    seen = [each[:, : position + 1].float() for each in (keys, values)]
    expected = functional.scaled_dot_product_attention(queries.float(), *seen, scale=scale)
    torch.testing.assert_close(found.float(), expected, atol=tolerance, rtol=tolerance)


def test_a_processor_does_not_split() -> None:
    assert not can_split(torch.device("cpu"), torch.float32, 64)
