"""Weights in each form: numbers computed by hand, and how near each is to the exact product."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from chatbot.engine.decode.packing import PackedLinear, pack_linears
from chatbot.engine.decode.projections import (
    INT4_GROUP,
    WIDENED_AT_ONCE,
    HalfProjection,
    Int4Projection,
    Int8Projection,
    NarrowInt8Projection,
    PlainProjection,
    Projection,
    ReorderedProjection,
    multiplies,
    round_int4,
    round_int8,
)

needs_fbgemm = pytest.mark.skipif(not Int8Projection.is_possible(), reason="needs FBGEMM")
needs_bf16 = pytest.mark.skipif(not multiplies(torch.bfloat16), reason="needs bf16 products")


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_eight_bits_by_hand() -> None:
    steps, scales = round_int8(torch.tensor([[2.54, -1.27, 0.011], [0.0, 0.0, 0.0]]))
    assert steps.tolist() == [[127, -64, 1], [0, 0, 0]]  # -63.5 goes to the even one
    assert scales[0].item() == pytest.approx(0.02)


def test_four_bits_by_hand() -> None:
    row = torch.tensor([[-1.0, 6.5, *([0.0] * (INT4_GROUP - 2))]])
    levels, scales = round_int4(row)
    assert scales.shape == (1, 1, 2)
    assert scales[0, 0].tolist() == [0.5, 3.0]  # 15 distances of 0.5; level 8 is -1 + 4
    assert levels[0, :3].tolist() == [0, 15, 2]


@needs_fbgemm
def test_activations_keep_far_more_than_eight_bits() -> None:
    weight = random(96, 128) * 0.1
    steps, scales = round_int8(weight)
    exact = steps.float() * scales[:, None]
    rows = random(5, 128, seed=1)
    rows[:, 7] = 300.0  # an outlier: in 8 bits nothing would be left of the others
    expected = rows @ exact.t()
    found = Int8Projection(weight, None)(rows)
    without = rows.clone()
    without[:, 7] = 0
    scale = (without @ exact.t()).square().mean().sqrt()
    assert (found - expected).square().mean().sqrt() < 0.15 * scale
    one_by_one = torch.cat([Int8Projection(weight, None)(row[None]) for row in rows])
    torch.testing.assert_close(one_by_one, found, atol=1e-3, rtol=1e-4)


FORMS: list[object] = [
    pytest.param(PlainProjection, torch.float32, 1e-6),
    pytest.param(PlainProjection, torch.bfloat16, 0.01),
    pytest.param(ReorderedProjection, torch.float32, 1e-6),
    pytest.param(ReorderedProjection, torch.bfloat16, 0.01, marks=needs_bf16),
    pytest.param(HalfProjection, torch.float32, 3e-4, marks=needs_fbgemm),
    pytest.param(HalfProjection, torch.bfloat16, 0.01, marks=needs_fbgemm),
    pytest.param(HalfProjection, torch.float16, 0.001, marks=needs_fbgemm),
    pytest.param(Int8Projection, torch.float32, 0.012, marks=needs_fbgemm),
    pytest.param(Int8Projection, torch.bfloat16, 0.015, marks=needs_fbgemm),
    pytest.param(NarrowInt8Projection, torch.float32, 0.015),
    pytest.param(Int4Projection, torch.float32, 0.1),
]


@pytest.mark.parametrize(("form", "dtype", "tolerance"), FORMS)
@pytest.mark.parametrize("num_rows", [1, 2, 9, 130])
@pytest.mark.parametrize("has_bias", [False, True])
def test_every_form_gives_the_product(
    form: Callable[[Tensor, Tensor | None], Projection],
    dtype: torch.dtype,
    tolerance: float,
    num_rows: int,
    has_bias: bool,
) -> None:
    weight, rows = random(96, 128), random(num_rows, 128, seed=1)
    bias = 10 * random(96, seed=2) if has_bias else None
    residual = random(num_rows, 96, seed=3)
    expected = torch.nn.functional.linear(rows, weight, bias)
    projection = form(weight.to(dtype), None if bias is None else bias.to(dtype))
    found = projection(rows.to(dtype))
    assert found.dtype == dtype
    assert found.shape == (num_rows, 96)
    assert (found.float() - expected).norm() < tolerance * expected.norm()
    added = projection.add_to(residual.to(dtype), rows.to(dtype))
    assert (added.float() - expected - residual).norm() < tolerance * (expected + residual).norm()


@pytest.mark.parametrize(("form", "dtype", "tolerance"), FORMS[2:])
def test_a_row_comes_to_the_same_whatever_is_beside_it(
    form: Callable[[Tensor, Tensor | None], Projection], dtype: torch.dtype, tolerance: float
) -> None:
    """To the last bit: what a guess is held against must be what the model would have written."""
    del tolerance
    projection = form(random(1024, 2048).to(dtype), None)
    rows = random(40, 2048, seed=1)
    together = projection(rows)
    for size in (1, 2, 4, 13):
        for start in range(0, 40 - size, size):
            part = projection(rows[start : start + size])
            assert torch.equal(part, together[start : start + size])


@needs_fbgemm
@pytest.mark.parametrize("num_rows", [1, 3])
def test_weights_in_bf16_are_kept_whole(num_rows: int) -> None:
    weight = (random(96, 128) * 0.1).bfloat16()
    weight[:4] = 0
    weight[range(4), range(4)] = torch.tensor([65280.0, 2.0**-14, 2.0**-24, -(2.0**-23)]).bfloat16()
    rows = random(num_rows, 128, seed=1)
    expected = rows @ weight.float().t()
    found = HalfProjection(weight, None)(rows)
    torch.testing.assert_close(found[:, :4], expected[:, :4], atol=0, rtol=1e-6)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@needs_fbgemm
@pytest.mark.parametrize("extreme", [2.0**-14, 2.0**-24 + 2.0**-31, 2.0**-30, 2.0**17, 1e30])
def test_weights_of_16_bits_are_the_same_in_fp32(extreme: float) -> None:
    weight = random(96, 128).bfloat16().float()
    weight *= weight.abs() > 2**-3
    weight[:, 0] = torch.tensor(extreme).bfloat16().float()
    power = HalfProjection.power_for(weight)
    assert power is not None
    rows = torch.zeros(2, 128)
    rows[0, 0] = 3  # nothing else, so that no sum hides it
    rows[1] = random(128, seed=1)
    found = HalfProjection(weight, None, power)(rows)
    assert found[0].tolist() == [3 * weight[0, 0].item()] * 96
    expected = weight.double() @ rows[1].double()
    torch.testing.assert_close(found[1].double(), expected, rtol=1e-5, atol=1e-5)


def test_what_no_kernel_reads_whole_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Int8Projection, "is_possible", staticmethod(lambda: False))
    for num_inputs in (48, 50):
        layers = torch.nn.ModuleDict({"layer": torch.nn.Linear(num_inputs, 40)})
        pack_linears(layers, "8-bit", is_fused=False)
        assert isinstance(layers["layer"], PackedLinear) == (num_inputs == 48)


def test_a_large_weight_is_looked_at_in_parts() -> None:
    weight = random(40, WIDENED_AT_ONCE // 16).half().float()
    assert HalfProjection.power_for(weight) == 1
    weight[-1, -1] = 1 / 3  # in the last of them
    assert HalfProjection.power_for(weight) is None


def test_what_fp16_cannot_hold_is_told() -> None:
    weight = random(96, 128).bfloat16().float()
    assert HalfProjection.power_for(weight) == 1
    weight[7, 8] = 2.0**-24 + 2.0**-31  # needs a power, with which it is held
    power = HalfProjection.power_for(weight)
    assert power is not None
    assert 2**14 <= power * weight.abs().max() < 2**15
    weight[7, 9] += 2.0**-20
    assert HalfProjection.power_for(weight) is None
    for value in (torch.inf, torch.nan):
        weight = random(96, 128).bfloat16()
        weight[3, 5] = value
        assert HalfProjection.power_for(weight) is None


@pytest.mark.parametrize("num_rows", [1, 3, 9])
def test_a_plain_weight_takes_finer_activations(num_rows: int) -> None:
    weight, rows = random(96, 128).bfloat16(), random(num_rows, 128, seed=1)
    expected = rows @ weight.float().t()
    plain = PlainProjection(weight, None)
    torch.testing.assert_close(plain(rows), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(plain.add_to(expected, rows), 2 * expected, atol=1e-4, rtol=1e-4)


@needs_fbgemm
def test_zeros_and_what_is_no_number() -> None:
    for projection in (
        Int8Projection(random(96, 128), None),
        HalfProjection(random(96, 128), None),
    ):
        assert projection(torch.zeros(1, 128)).abs().max() == 0
        assert projection(torch.zeros(3, 128)).abs().max() == 0
        broken = random(1, 128)
        broken[0, 5] = torch.nan
        assert projection(broken).isnan().all()  # so that the sampler can say so


@needs_fbgemm
def test_the_engine_of_quantised_tensors_is_left_as_it_was() -> None:
    before = torch.backends.quantized.engine
    Int8Projection(random(32, 32), None)
    HalfProjection(random(32, 32), None)
    assert torch.backends.quantized.engine == before
