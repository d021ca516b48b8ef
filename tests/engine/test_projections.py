"""Weights in each form: numbers computed by hand, and how near each is to the exact product."""

import copy
import gc
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba
import pytest
import torch
from torch import Tensor, nn

from chatbot.engine.decode.cpu import projections
from chatbot.engine.decode.cpu.kernels import level_vectors, vectors
from chatbot.engine.decode.cpu.kernels.block_products import MAX_FEW
from chatbot.engine.decode.cpu.kernels.forms import BLOCK
from chatbot.engine.decode.cpu.kernels.rounding import round_row, rounded_size
from chatbot.engine.decode.cpu.kernels.team import TEAM, Team
from chatbot.engine.decode.cpu.kernels.vectors import HAS_PAIRS
from chatbot.engine.decode.cpu.packing import PackedLinear, pack_linears, packed_tensors
from chatbot.engine.decode.cpu.preparing import prepare_for_cpu
from chatbot.engine.decode.cpu.projections import (
    COMPARED_AT_ONCE,
    INT4_GROUP,
    MIN_ROUNDED_ROWS,
    DirectProjection,
    Int4Projection,
    Int8Projection,
    round_int4,
    round_int8,
    shortest,
)
from chatbot.engine.decode.projection import Projection
from tests.engine.tiny_models import make_llama


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


def test_activations_are_rounded_by_groups_of_their_own() -> None:
    row = random(3 * INT4_GROUP) * 10
    row[INT4_GROUP : 2 * INT4_GROUP] = 0
    row[5] = 60.0
    rounded = torch.zeros(rounded_size(row.numel()), dtype=torch.uint8)
    round_row(row.data_ptr(), rounded.data_ptr(), row.numel())
    steps = rounded[: row.numel()].view(torch.int8).view(3, INT4_GROUP).float()
    sizes, sums = rounded[row.numel() :].view(torch.float32).view(2, 3)
    groups = row.view(3, INT4_GROUP)
    torch.testing.assert_close(sizes, groups.abs().amax(1) / 127)
    assert steps[0, 5] == 127
    assert ((steps * sizes[:, None] - groups).abs() <= sizes[:, None] * 0.501).all()
    torch.testing.assert_close(sums, steps.sum(1) * sizes)


@pytest.mark.parametrize("num_outputs", [1, 7, 8, 50])
def test_products_in_whole_numbers_are_exact_but_for_their_rounding(num_outputs: int) -> None:
    """At the ends of both ranges too, which is where sums of shorts could overflow."""
    weight, rows = random(num_outputs, 192), random(5, 192, seed=1)
    weight[:, :96] = torch.tensor([1.0] * 31 + [-0.5]).repeat(3)
    rows[0, :96], rows[1, :96] = 3.0, -3.0
    levels, scales = round_int4(weight)
    grouped = levels.view(num_outputs, -1, INT4_GROUP).double() - 8
    known = (grouped * scales[..., :1].double() + scales[..., 1:].double()).flatten(1)
    sizes = rows.view(5, -1, INT4_GROUP).abs().amax(2, keepdim=True).double() / 127
    known_rows = ((rows.view(5, -1, INT4_GROUP) / sizes).round() * sizes).flatten(1)
    outputs = torch.full((6, num_outputs), 7.0)
    projection = Int4Projection(weight, None)
    TEAM.multiply(projection.product, rows.data_ptr(), 5, outputs.data_ptr(), 2)
    torch.testing.assert_close(outputs[:5].double(), known_rows @ known.t(), atol=1e-4, rtol=1e-5)
    assert (outputs[5] == 7).all()  # nothing is written behind the last row


def compiled_dot(num_rows: int) -> Callable[..., None]:
    dot = level_vectors.dot_levels(num_rows)
    called: Callable[..., None] = numba.njit(lambda *places: dot(*places))
    return called


def test_whole_numbers_are_the_same_by_every_instruction(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the instructions that this processor has, down to what any processor has."""
    weight, rows = random(BLOCK, 192), random(3, 192, seed=1)
    weight[:, :96] = torch.tensor([1.0] * 31 + [-0.5]).repeat(3)
    rows[0, :96], rows[1, :96] = 3.0, -3.0
    (blocks,) = Int4Projection(weight, None).held
    rounded = torch.zeros(3, rounded_size(192), dtype=torch.uint8)
    for row, target in zip(rows, rounded, strict=True):
        round_row(row.data_ptr(), target.data_ptr(), 192)
    found = []
    for missing in ((), ("_HAS_FOURS",), ("_HAS_FOURS", "_HAS_PAIRS")):
        for name in missing:
            monkeypatch.setattr(level_vectors, name, False)
        outputs = torch.empty(3, BLOCK)
        places = blocks.data_ptr(), rounded.data_ptr(), rounded.stride(0)
        compiled_dot(3)(*places, outputs.data_ptr(), 4 * BLOCK, 192)
        found.append(outputs)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
    torch.testing.assert_close(found[0], Int4Projection(weight, None)(rows))


FORMS: list[object] = [
    pytest.param(DirectProjection, torch.float32, 1e-6),
    pytest.param(DirectProjection, torch.bfloat16, 0.01),
    pytest.param(DirectProjection, torch.float16, 0.001),
    pytest.param(Int8Projection, torch.float32, 0.012),
    pytest.param(Int8Projection, torch.bfloat16, 0.015),
    pytest.param(Int4Projection, torch.float32, 0.1),
    pytest.param(Int4Projection, torch.bfloat16, 0.1),
]


@pytest.mark.parametrize(("form", "dtype", "tolerance"), FORMS)
@pytest.mark.parametrize("num_rows", [0, 1, 2, 3, 9, 16, 17, 130])
@pytest.mark.parametrize("sizes", [(96, 128), (50, 40), (7, 64), (200, 2048)])
@pytest.mark.parametrize("has_bias", [False, True])
def test_every_form_gives_the_product(
    form: Callable[[Tensor, Tensor | None], Projection],
    dtype: torch.dtype,
    tolerance: float,
    num_rows: int,
    sizes: tuple[int, int],
    has_bias: bool,
) -> None:
    """Whether or not the numbers fill a vector, and the outputs a block."""
    num_outputs, num_inputs = sizes
    weight, rows = random(*sizes), random(num_rows, num_inputs, seed=1)
    bias = 10 * random(num_outputs, seed=2) if has_bias else None
    residual = random(num_rows, num_outputs, seed=3)
    expected = torch.nn.functional.linear(rows, weight, bias)
    projection = form(weight.to(dtype), None if bias is None else bias.to(dtype))
    found = projection(rows.to(dtype))
    assert found.dtype == dtype
    assert found.shape == (num_rows, num_outputs)
    assert (found.float() - expected).norm() <= tolerance * expected.norm()
    added = projection.add_to(residual.to(dtype), rows.to(dtype))
    error = (added.float() - expected - residual).norm()
    assert error <= 1.5 * tolerance * (expected + residual).norm()


@pytest.mark.parametrize(("form", "dtype", "tolerance"), FORMS)
def test_a_row_comes_to_the_same_whatever_is_beside_it(
    form: Callable[[Tensor, Tensor | None], Projection], dtype: torch.dtype, tolerance: float
) -> None:
    """To the last bit: what a guess is held against must be what the model would have written."""
    del tolerance
    projection = form(random(1024, 2048).to(dtype), None)
    rows = random(MAX_FEW, 2048, seed=1)
    together = projection(rows)
    for size in (1, 2, 3, 4, 13):
        for start in range(0, MAX_FEW - size + 1, size):
            part = projection(rows[start : start + size])
            assert torch.equal(part, together[start : start + size])


@pytest.mark.parametrize("num_rows", [1, 3, 40])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_in_16_bits_are_multiplied_whole(num_rows: int, dtype: torch.dtype) -> None:
    extremes = torch.tensor([65280.0, 2.0**-14, 2.0**-24, -(2.0**-23)]).to(dtype)
    weight = (random(96, 128) * 0.1).to(dtype)
    weight[:4] = 0
    weight[range(4), range(4)] = extremes
    rows = random(num_rows, 128, seed=1)
    expected = rows.double() @ weight.double().t()
    found = DirectProjection(weight, None)(rows)
    torch.testing.assert_close(found[:, :4], expected[:, :4].float(), atol=0, rtol=1e-6)
    torch.testing.assert_close(found, expected.float(), atol=1e-5, rtol=1e-5)


ROUNDING: dict[str, Callable[..., Projection]] = {
    "bf16": lambda weight, bias, **how: DirectProjection(weight.bfloat16(), bias, **how),
    "8-bit": Int8Projection,
}


@pytest.mark.parametrize("form", ROUNDING.values(), ids=ROUNDING)
@pytest.mark.parametrize("is_by_library", [False, True])
def test_activations_of_many_rows_are_rounded_where_that_is_quicker(
    form: Callable[..., Projection], is_by_library: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projections, "torch_is_quicker", lambda dtype: is_by_library)
    weight, rows, bias = random(90, 128), random(MIN_ROUNDED_ROWS, 128, seed=1), random(90, seed=2)
    exact, rounding = form(weight, bias), form(weight, bias, rounds=True)
    assert rounding.rounds == is_by_library
    expected = exact(rows)
    found = rounding(rows)
    torch.testing.assert_close(found, expected, atol=0.2, rtol=0.02)
    assert torch.equal(found, expected) != (is_by_library or HAS_PAIRS)
    assert torch.equal(rounding(rows[:1]), exact(rows[:1]))
    # Rounded activations are as exact as others where there is nothing to be rounded.
    short = rows.bfloat16().float()
    atol = 0.2 if is_by_library else 1e-4  # which rounds what comes out as well
    torch.testing.assert_close(rounding(short), exact(short), atol=atol, rtol=1e-2)


@pytest.mark.parametrize("form", ROUNDING.values(), ids=ROUNDING)
def test_a_row_comes_to_the_same_among_any_number_of_many(
    form: Callable[..., Projection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projections, "torch_is_quicker", lambda dtype: False)
    projection, rows = form(random(301, 192), None, rounds=True), random(130, 192, seed=1)
    together = projection(rows)
    for start, end in ((0, 17), (3, 50), (113, 130)):
        assert torch.equal(projection(rows[start:end]), together[start:end])


def test_nothing_is_lost_of_what_is_no_number_where_activations_are_rounded() -> None:
    rows = random(20, 128)
    rows[0, 5], rows[1, 5] = torch.nan, torch.inf
    for form in ROUNDING.values():
        found = form(random(96, 128), None, rounds=True)(rows)
        assert not found[:2].isfinite().any()
        assert found[2:].isfinite().all()


def test_torch_multiplies_in_bf16_where_it_has_units_for_matrices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    has_bf16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    for features, is_x86, expected in (
        ({"avx512f": True}, True, False),  # which torch takes for one that multiplies bf16
        ({"avx512f": True, "avx512bf16": True}, True, False),
        ({"avx512f": True, "avx512bf16": True, "amx-bf16": True}, True, has_bf16),
        ({}, False, has_bf16),
    ):
        monkeypatch.setattr(vectors, "FEATURES", features)
        monkeypatch.setattr(vectors, "IS_X86", is_x86)
        assert projections.torch_is_quicker(torch.bfloat16) == expected


def test_weights_in_fp32_are_kept_as_short_as_they_are() -> None:
    short = random(40, COMPARED_AT_ONCE // 16).bfloat16()
    assert shortest(short.float()).dtype == torch.bfloat16
    assert shortest(random(8, 64).half().float()).dtype == torch.float16
    long = short.float()
    long[-1, -1] = 1 / 3  # in the last of the parts that are looked at
    assert shortest(long) is long
    long[-1, -1] = 1e30
    assert shortest(long).dtype == torch.float32
    long[-1, -1] = 2.0**100
    assert shortest(long).dtype == torch.bfloat16
    assert shortest(short) is short


def test_a_weight_that_is_used_elsewhere_is_not_copied() -> None:
    weight = random(96, 128).bfloat16()
    assert DirectProjection(weight, None).held[0].data_ptr() == weight.data_ptr()


def test_zeros_and_what_is_no_number() -> None:
    for form in (DirectProjection, Int8Projection, Int4Projection):
        projection = form(random(96, 128), None)
        for num_rows in (1, 3, 20):
            assert projection(torch.zeros(num_rows, 128)).abs().max() == 0
            for bad in (torch.nan, torch.inf):
                broken = random(num_rows, 128)
                broken[0, 5] = bad
                found = projection(broken)
                assert not found[0].isfinite().any()  # so that the sampler can say so
                assert found[1:].isfinite().all()


@pytest.mark.parametrize("num_threads", [1, 2, 5])
def test_any_number_of_threads_comes_to_the_same(num_threads: int) -> None:
    before = torch.get_num_threads()
    projection = Int8Projection(random(301, 192), None)
    few, many = random(3, 192, seed=1), random(50, 192, seed=2)
    expected = projection(few), projection(many)
    try:
        torch.set_num_threads(num_threads)
        for _ in range(200):
            assert torch.equal(projection(few), expected[0])
            assert torch.equal(projection(many), expected[1])
    finally:
        torch.set_num_threads(before)


def test_products_that_are_asked_for_at_once_do_not_mix() -> None:
    made = [DirectProjection(random(100, 128, seed=n), None) for n in range(8)]
    rows = random(4, 128)
    expected = [projection(rows) for projection in made]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(50):
            found = list(pool.map(lambda projection: projection(rows), made))
            assert all(map(torch.equal, found, expected))


def test_a_team_whose_helpers_sleep_is_called_again() -> None:
    team = Team()
    projection = DirectProjection(random(64, 64), None)
    rows, product = random(1, 64), torch.empty(1, 64)
    for _ in range(3):
        product.zero_()
        team.multiply(projection.product, rows.data_ptr(), 1, product.data_ptr(), 3)
        assert torch.equal(product, projection(rows))
        for helper in team._helpers:
            while helper.is_awake:  # it looks for work for a while, and no longer
                pass
    assert len(team._helpers) == 2


def test_all_linear_layers_are_packed_and_heads_in_more_bits() -> None:
    layers = nn.ModuleDict({"layer": nn.Linear(50, 40), "lm_head": nn.Linear(50, 40)})
    pack_linears(layers, "4-bit", is_fused=False)
    kinds = [layer.projection for layer in layers.values() if isinstance(layer, PackedLinear)]
    assert [type(kind) for kind in kinds] == [Int4Projection, Int8Projection]
    assert sum(tensor.nbytes for tensor in packed_tensors(layers)) == sum(
        kind.num_bytes for kind in kinds
    )


def test_a_copy_of_a_model_shares_what_never_changes() -> None:
    layers = nn.ModuleDict({"layer": nn.Linear(64, 40)})
    pack_linears(layers, "8-bit", is_fused=False)
    copied: object = copy.deepcopy(layers)
    del layers
    gc.collect()
    assert isinstance(copied, nn.ModuleDict)
    assert copied["layer"](random(2, 64)).isfinite().all()


def test_rows_of_another_length_are_refused() -> None:
    for form in (DirectProjection, Int8Projection, Int4Projection):
        for num_inputs in (64, 129, 192):
            with pytest.raises(ValueError, match="128"):
                form(random(96, 128), None)(random(1, num_inputs))


def test_the_dtype_that_torch_makes_tensors_of_does_not_matter() -> None:
    projection, rows = DirectProjection(random(96, 128), None), random(20, 128)
    expected = projection(rows)
    torch.set_default_dtype(torch.bfloat16)
    try:
        assert torch.equal(projection(rows), expected)
        assert torch.equal(projection(rows[:1])[0], projection(rows[:3])[0])
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_head_that_is_the_embedding_is_there_once() -> None:
    model = make_llama(hidden_size=64, intermediate_size=128).bfloat16()
    embedding = model.get_input_embeddings().weight
    prepare_for_cpu(model, "bf16")
    assert model.lm_head.projection.held[0].data_ptr() == embedding.data_ptr()
    addresses = [tensor.data_ptr() for tensor in packed_tensors(model)]
    prepared = {parameter.data_ptr() for parameter in model.parameters() if parameter.numel()}
    assert prepared & set(addresses) == {embedding.data_ptr()}


COMPILED_ANEW = """
import sys
from llvmlite import binding
features = binding.get_host_cpu_features()
for name in filter(None, sys.argv[1].split(",")):
    features[name] = False
binding.get_host_cpu_features = lambda: features
import torch
from torch.nn.functional import scaled_dot_product_attention
from chatbot.engine.decode.cpu.attention import attend
from chatbot.engine.decode.cpu.kernels import program, products
from chatbot.engine.decode.cpu.projections import DirectProjection, Int8Projection, Int4Projection
torch.manual_seed(0)
halves = torch.arange(2**16, dtype=torch.int32).to(torch.int16).view(torch.float16).view(-1, 64)
wide = DirectProjection(halves, None)(torch.eye(64)[:3].contiguous())
expected = halves.float().t()[:3]
same = (wide == expected) | (halves.isnan() | halves.isinf()).any(1) | expected.isnan()
assert same.all(), (wide[~same], expected[~same])
for form in (DirectProjection, Int8Projection, Int4Projection):
    weight, rows = torch.randn(50, 128), torch.randn(16, 128)
    projection = form(weight, None)
    together = projection(rows)
    alone = torch.cat([projection(row[None]) for row in rows])
    assert torch.equal(together, alone)
    assert (together - rows @ weight.t()).norm() < 0.1 * together.norm()
queries, (keys, values) = torch.randn(40, 4, 64), torch.randn(2, 1, 2, 40, 64)
apart = queries.transpose(0, 1)[None]
expected = scaled_dot_product_attention(apart, keys, values, is_causal=True, enable_gqa=True)
found = attend(queries, keys, values, 64**-0.5)
torch.testing.assert_close(found, expected[0].transpose(0, 1).reshape(40, -1))
written = next(iter(program.run.inspect_llvm().values()))
# What LLVM 22 made of a loop of few rounds, which it wrongly took for one without a result.
stores = [line for line in written.splitlines() if line.lstrip().startswith("store ")]
assert not any(" poison," in line for line in stores)
sums = [line for line in written.splitlines() if "@llvm.fma" in line]
assert not any("reassoc" in line or "fast " in line for line in sums)
written = next(iter(products._few_bf16.inspect_llvm().values()))
assert "reassoc" not in written and "fast " not in written
ordered = [line for line in written.splitlines() if " = fadd" in line or "llvm.fma" in line]
print(len(ordered))
"""


IS_X86 = platform.machine() == "x86_64"
PROCESSORS = {
    "older": pytest.param(
        "f16c,fma,avx2,avxvnni,avx512f,avx512vnni,avx512bf16",
        marks=pytest.mark.skipif(not IS_X86, reason="of other processors"),
    ),
    # Another 20 seconds, and what is computed on this processor is compared by the other tests.
    "this": pytest.param("", marks=[pytest.mark.slow] if IS_X86 else []),
}


@pytest.mark.parametrize("missing", PROCESSORS.values(), ids=PROCESSORS)
def test_older_processors_and_the_order_of_sums(missing: str, tmp_path: Path) -> None:
    """Compiled anew, so that its code can be looked at: no sum may be put in another order."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    if missing:
        environment["NUMBA_CPU_NAME"] = "goldmont-plus"
    done = subprocess.run(
        [sys.executable, "-c", COMPILED_ANEW, missing],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10
