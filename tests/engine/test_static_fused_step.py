"""Our own step on a cache that does not move, against transformers' own forward. It is a GPU's, and
computes on a CPU what it would there."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModelForCausalLM, GPTNeoXConfig, GPTNeoXForCausalLM

from chatbot.engine.benchmark.quantising import quantise
from chatbot.engine.benchmark.shapes import random_config
from chatbot.engine.decode.brake import Brake
from chatbot.engine.decode.decoder import Interrupted
from chatbot.engine.decode.gpu import static_fused_step
from chatbot.engine.decode.gpu.split_attention import FEWEST, attend_in_parts
from chatbot.engine.decode.gpu.static import StaticDecoder
from chatbot.engine.decode.gpu.static_fused_step import StaticFusedStep, static_fused_refusal
from chatbot.engine.decode.gpu.static_step import ForwardStep, StaticStep
from chatbot.engine.drawing import DrawingRun
from chatbot.engine.kv_cache import CachedModel
from chatbot.settings import Precision
from tests.engine.test_fused_decoder import (
    DENSE,
    HALVED,
    MIXTURES,
    SIZES,
    TOKENS,
    make,
    never,
    read_in,
    reference,
)
from tests.engine.test_static_batch import check_rows
from tests.engine.tiny_models import make_llama

CUTS = [130, 131, 140, 156, 173, *range(200, 300)]
"""Whole portions, few tokens, single ones, and past the end of the first length."""


def decoder_for(model: Any) -> StaticDecoder:
    brake = Brake(model)
    return StaticDecoder(StaticFusedStep(model, brake), brake, None)


@pytest.mark.parametrize("family", DENSE)
def test_logits_equal_those_of_transformers(family: str) -> None:
    model = make(family)
    expected = reference(model, TOKENS)
    assert static_fused_refusal(model) == ""
    for cuts in ([], CUTS):
        found = read_in(decoder_for(model), TOKENS, cuts)
        torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-3)
    # The weights that were joined are still the model's own.
    torch.testing.assert_close(reference(model, TOKENS), expected, atol=0, rtol=0)


@pytest.mark.parametrize("family", MIXTURES)
def test_a_choice_of_experts_is_left_to_transformers(family: str) -> None:
    assert "experts" in static_fused_refusal(make(family))


@pytest.mark.parametrize(
    "family", ["llama with biases", "tied, one key head", "one long window", "gemma 3"]
)
def test_a_token_behind_many_attends_in_parts(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(static_fused_step, "can_split", lambda *_: True)
    model = make(family)
    tokens = [TOKENS[n % len(TOKENS)] for n in range(FEWEST - 1)]
    expected = reference(model, tokens)[-4:]
    calls = []

    def note(queries: Tensor, keys: Tensor, *rest: Any) -> Tensor:
        calls.append(keys.shape[1])
        return attend_in_parts(queries, keys, *rest)

    monkeypatch.setattr(static_fused_step, "attend_in_parts", note)
    found = read_in(decoder_for(model), tokens, range(len(tokens) - 4, len(tokens)))[-4:]
    torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-3)
    assert calls == [FEWEST] * 4 * model.config.num_hidden_layers


@pytest.mark.parametrize("family", HALVED)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_as_close_as_its_rounding(family: str, dtype: torch.dtype) -> None:
    exact = reference(make(family), TOKENS)
    model = make(family).to(dtype)
    expected = reference(model, TOKENS)
    error = (expected - exact).square().mean().sqrt()
    found = read_in(decoder_for(model), TOKENS, CUTS)
    assert (found - exact).square().mean().sqrt() < 1.2 * error
    assert (found - expected).square().mean().sqrt() < 1.5 * error


class OnFusedStep(CachedModel):
    """With the step that a GPU would have, not captured."""

    def _make_decoder(self) -> StaticDecoder:
        return StaticDecoder(StaticFusedStep(self._model, self._brake), self._brake, None)


@pytest.mark.parametrize(
    "family",
    [
        "llama with biases",
        "qwen 3",
        "tied, one key head",
        "short windows",
        "one long window",
        "gemma 2",
        "gemma 3",
    ],
)
def test_rows_are_those_of_the_model(family: str) -> None:
    model = make(family)
    cached = OnFusedStep(model)
    cached.read(TOKENS[:250])
    check_rows(model, cached, cached.branch(4), prompt=TOKENS[:250])


def test_reading_is_broken_off_between_layers() -> None:
    model = make_llama()
    decoder = decoder_for(model)
    decoder.read(TOKENS[:20], 0, never)
    asked = 0

    def at_the_second() -> bool:
        nonlocal asked
        asked += 1
        return asked == 2

    with pytest.raises(Interrupted):
        decoder.read(TOKENS[20:40], 20, at_the_second)
    expected = reference(model, TOKENS[:40])[-1]
    found = decoder.read(TOKENS[20:40], 20, never)
    torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-3)


class Doubling(torch.nn.Linear):
    """Adds to what its weight gives, as adapters do."""

    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


def test_layers_that_add_to_their_weight_compute_by_themselves() -> None:
    model = make("llama with biases")
    decoder = decoder_for(model)
    before = read_in(decoder, TOKENS, [130])
    for part, name in (("self_attn", "v_proj"), ("mlp", "up_proj"), ("mlp", "down_proj")):
        getattr(getattr(model.model.layers[0], part), name).__class__ = Doubling
    expected = reference(model, TOKENS)
    assert (before - expected).abs().max() > 0.1
    found = read_in(decoder_for(model), TOKENS, [130, 131])
    torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("precision", ["4-bit", "8-bit"])
def test_weights_of_bitsandbytes_are_multiplied_by_it(precision: Precision) -> None:
    model = make_llama(hidden_size=64, intermediate_size=128)
    quantise(model, precision)
    expected = reference(model, TOKENS)
    found = read_in(decoder_for(model), TOKENS, [130, *range(200, 210)])
    assert torch.corrcoef(torch.stack((found.flatten(), expected.flatten())))[0, 1] > 0.9995


def test_weights_that_would_not_fit_twice_are_left_where_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def addresses(model: Any) -> list[int]:
        return [parameter.data_ptr() for parameter in model.parameters()]

    model = make("llama with biases")
    expected, before = reference(model, TOKENS), addresses(model)
    monkeypatch.setattr(static_fused_step, "_can_be_joined", lambda _: False)
    found = read_in(decoder_for(model), TOKENS, [130, 131])
    torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-3)
    assert addresses(model) == before
    monkeypatch.undo()
    decoder_for(model)
    assert addresses(model) != before


def _neox() -> Any:
    return GPTNeoXForCausalLM(GPTNeoXConfig(**SIZES))


@pytest.mark.parametrize(("model", "kind"), [(make_llama, StaticFusedStep), (_neox, ForwardStep)])
def test_a_gpu_has_the_step_that_takes_the_fewest_launches(
    model: Callable[[], Any], kind: type[StaticStep]
) -> None:
    step, reason = CachedModel(model())._static_step()
    assert type(step) is kind
    assert reason == ""


VIEWS = {
    *("alias", "as_strided", "detach", "empty", "expand", "new_empty", "permute", "select"),
    *("slice", "split", "t", "transpose", "unsafe_view", "unsqueeze", "view"),
}
"""Operations that launch nothing."""


class Launches(TorchDispatchMode):
    """Counts operations that launch kernels, in a mode in which all are asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.removeprefix("aten::").removeprefix("_")
        if name not in VIEWS:
            self.names[name] += 1
        return func(*args, **(kwargs or {}))


class AsOnGpu(TorchFunctionMode):
    """Has those be one operation that are one kernel on a GPU."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = kwargs or {}
        if func is functional.rms_norm:
            return torch.relu(args[0])
        if func is not functional.scaled_dot_product_attention:
            return func(*args, **options)
        mask = options["attn_mask"]
        if mask.dtype == torch.bool:  # is made one of numbers each time
            torch.zeros_like(mask, dtype=args[0].dtype).masked_fill_(mask, -torch.inf)
        return torch.relu(args[0])


def num_launches(shape: str, kind: str, length: int = 256) -> int:
    """Of a step of one token, which looks at so much of the cache."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(random_config(shape), dtype=torch.bfloat16).eval()
    step = ForwardStep(model) if kind == "static" else StaticFusedStep(model, Brake(model))
    cache = step.make_cache()
    cache.reserve(length, 0)
    ids, positions = torch.zeros(2, 1, dtype=torch.int64, device="meta")
    with torch.no_grad():
        step(cache, ids[None], positions, length)
        with AsOnGpu(), Launches() as launches:
            step(cache, ids[None], positions, length)
    return launches.names.total()


@pytest.mark.parametrize(
    ("shape", "num_layers", "each"),
    [
        ("smollm2-135m", 30, 12),
        ("llama-3.1-8b", 32, 12),
        ("llama-2-7b", 32, 12),
        ("qwen3-8b", 36, 15),
        ("gemma-3-1b", 26, 20),
    ],
)
def test_a_step_takes_few_launches(shape: str, num_layers: int, each: int) -> None:
    found = num_launches(shape, "fused")
    assert found <= num_layers * each + 16
    assert 3 * found < num_launches(shape, "static")


def test_attention_in_parts_takes_few_launches(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = num_launches("llama-3.1-8b", "fused", FEWEST)
    monkeypatch.setattr(static_fused_step, "can_split", lambda *_: True)
    # One of them copies what a GPU's kernel writes as the next one wants it.
    assert whole < num_launches("llama-3.1-8b", "fused", FEWEST) <= whole + 32 * 4


@pytest.mark.parametrize(("num_alternatives", "most"), [(0, 34), (5, 55)])
def test_a_draw_takes_few_launches(num_alternatives: int, most: int) -> None:
    device = torch.device("meta")
    draw = DrawingRun(49_152, device, None).step_draw(num_alternatives)
    token, position = torch.zeros(2, 1, dtype=torch.int64, device=device)
    with Launches() as launches:
        draw(torch.zeros(49_152, dtype=torch.bfloat16, device=device), token, position)
    assert 20 < launches.names.total() - launches.names["zeros"] <= most
