"""The path of a GPU as it is, on a GPU that computes nothing: what it waits for, and whether what a
graph reads is still there."""

import copy
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, Qwen3MoeConfig, Starcoder2Config

from chatbot.engine.benchmark.shapes import random_config
from chatbot.engine.decode.gpu import static_fused_step
from chatbot.engine.decode.gpu.readback import Readback
from chatbot.engine.decode.gpu.split_attention import attend_in_parts
from chatbot.engine.decode.gpu.static_fused_step import StaticFusedStep
from chatbot.engine.decode.plain import TransformersDecoder
from chatbot.engine.drawing import DrawingRun
from chatbot.engine.finding import find_model
from chatbot.engine.inbox import Control
from chatbot.engine.kv_cache import CachedModel
from chatbot.engine.loading import LoadedModel, load
from chatbot.engine.protocol.messages import ChatMessage
from chatbot.engine.protocol.variants import GenerateVariants
from chatbot.engine.quantised_experts import num_rounded, round_experts_of
from chatbot.engine.recording import Recorder, TokenTexts
from chatbot.engine.variants.answers import answer_variants
from chatbot.settings import Precision, Sampling
from tests.engine.fake_gpu import FakeGpu, fake_gpu
from tests.engine.families import FAMILIES, GROUPED
from tests.engine.test_pipeline import PROMPT, write

pytestmark = pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")

GREEDY = Sampling(temperature=0, max_tokens=12)
SAMPLED = Sampling(
    temperature=0.8,
    top_k=20,
    top_p=0.9,
    min_p=0.05,
    repetition_penalty=1.2,
    seed=7,
    max_tokens=12,
)


@pytest.fixture
def gpu() -> Iterator[FakeGpu]:
    with fake_gpu() as gpu:
        yield gpu


def cached_model(config: Any, dtype: torch.dtype = torch.bfloat16) -> CachedModel:
    own = copy.deepcopy(config)  # the type is written into it
    with torch.device("cuda"):
        return CachedModel(AutoModelForCausalLM.from_config(own, dtype=dtype).eval())


def config_of(name: str) -> Any:
    if name == "starcoder-2":  # its layers look back over a window
        return Starcoder2Config(**GROUPED, sliding_window=64)
    return next(family.config for family in FAMILIES if family.name == name)


def recorder() -> Recorder:
    return Recorder(4, TokenTexts(lambda ids: "x" * len(ids), lambda _: [3]))


def waits_for_each(gpu: FakeGpu, cached: CachedModel, **options: Any) -> list[list[str]]:
    """What was waited for before each token of an answer."""
    found: list[list[str]] = []

    def note(_count: int, _control: Control) -> None:
        found.append(list(gpu.waits))
        gpu.waits.clear()

    gpu.waits.clear()
    write(cached, during=note, **options)
    return found


@pytest.mark.parametrize(
    ("family", "step", "dtype"),
    [
        ("llama-3", "fused", torch.bfloat16),
        ("qwen-3", "fused", torch.float16),
        ("mistral", "fused", torch.bfloat16),
        ("phi-3", "fused", torch.bfloat16),
        ("gemma", "fused", torch.float16),
        ("gemma-3", "fused", torch.bfloat16),
        ("gemma-2", "fused", torch.bfloat16),
        ("rinna", "static", torch.float16),
        ("starcoder-2", "static", torch.bfloat16),
    ],
)
def test_each_step_is_a_graph_that_nothing_waits_for(
    gpu: FakeGpu, family: str, step: str, dtype: torch.dtype
) -> None:
    cached = cached_model(config_of(family), dtype)
    for sampling in (GREEDY, SAMPLED):
        before = gpu.num_received
        first, *others = waits_for_each(gpu, cached, sampling=sampling, recorder=recorder())
        assert first  # the prompt is sent, and its token fetched
        assert others == [[]] * 11
        assert gpu.num_received == before + 11
    assert cached.decoder_name == f"{step} graph"


MIXTURE = Qwen3MoeConfig(
    **GROUPED, head_dim=16, moe_intermediate_size=32, num_experts=8, num_experts_per_tok=2
)


@pytest.mark.parametrize(
    ("capability", "dtype"),
    [((9, 0), torch.bfloat16), ((9, 0), torch.float16), ((8, 6), torch.bfloat16)],
)
def test_experts_are_computed_without_waiting_on_every_gpu(
    gpu: FakeGpu, capability: tuple[int, int], dtype: torch.dtype
) -> None:
    gpu.capability = capability
    cached = cached_model(MIXTURE, dtype)
    ways = cached._model.get_experts_implementation()
    first, *others = waits_for_each(gpu, cached, sampling=GREEDY)
    assert others == [[]] * 11
    assert cached.decoder_name == "static graph"
    # A prompt is read with the weights where they lie, though that may wait.
    grouping_waits = any("groups" in wait for wait in first)
    assert grouping_waits == (capability != (9, 0) or dtype != torch.bfloat16)
    assert cached._model.get_experts_implementation() == ways
    # Guesses would have the experts of each copied.
    assert (cached.row_cost < 1) != grouping_waits


def test_experts_of_a_cache_that_grows_wait_for_nothing_either(gpu: FakeGpu) -> None:
    gpu.capability = (8, 6)
    cached = cached_model(MIXTURE)
    cached._decoder = TransformersDecoder(cached._model, cached._brake)
    _, *others = waits_for_each(gpu, cached, sampling=GREEDY)
    assert not any("groups" in wait for waits in others for wait in waits)


@pytest.mark.parametrize("precision", ["8-bit", "4-bit"])
def test_experts_in_fewer_bits_are_widened_in_the_graph(gpu: FakeGpu, precision: Precision) -> None:
    with torch.device("cuda"):
        config = copy.deepcopy(MIXTURE)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()
    round_experts_of(model, in_4_bits=precision == "4-bit")
    assert num_rounded(model) > 0
    cached = CachedModel(model)
    _, *others = waits_for_each(gpu, cached, sampling=GREEDY)
    assert others == [[]] * 11
    assert cached.decoder_name == "static graph"


def test_attention_in_parts_waits_for_nothing(gpu: FakeGpu) -> None:
    cached = cached_model(random_config("tiny"))
    cached.read([PROMPT[n % 250] for n in range(1100)])
    with mock.patch.object(static_fused_step, "attend_in_parts", wraps=attend_in_parts) as parts:
        before = gpu.num_replayed
        prompt = [PROMPT[n % 250] for n in range(1101)]
        _, *others = waits_for_each(gpu, cached, prompt=prompt, sampling=GREEDY)
    assert parts.call_count > 0
    assert others == [[]] * 11
    assert gpu.num_replayed > before


def test_what_graphs_read_stays_where_it_is(gpu: FakeGpu) -> None:
    cached = cached_model(random_config("tiny"))
    # Past the end of a length; then the cache moves; then another prompt, and guesses.
    write(cached, PROMPT, GREEDY)
    write(cached, [PROMPT[n % 250] for n in range(1020)], GREEDY, recorder=recorder())
    write(cached, PROMPT[:40], SAMPLED)
    write(cached, PROMPT[:30] * 3, GREEDY, looks_up=True)
    assert gpu.num_captured > 5
    assert gpu.num_replayed > 20


@pytest.fixture(scope="module")
def loaded(tiny_folder: Path) -> LoadedModel:
    found = find_model(str(tiny_folder), lambda *_: None)
    return load(found, "fp32", torch.device("cpu"), lambda *_: None)


@pytest.mark.parametrize(("num_alternatives", "each"), [(0, 1), (4, 2)])
def test_several_answers_wait_for_their_tokens_alone(
    loaded: LoadedModel, gpu: FakeGpu, num_alternatives: int, each: int
) -> None:
    own = msgspec.structs.replace(loaded, cached=cached_model(loaded.found.config))
    request = GenerateVariants(
        messages=(ChatMessage("user", "What is the capital of France?"),),
        samplings=(SAMPLED,) * 4,
        num_alternatives=num_alternatives,
    )
    gpu.waits.clear()
    list(answer_variants(own, request, Control(SAMPLED)))
    # The prompt, and what each answer has seen, are sent, and then the tokens of each step. Each
    # token is fetched, and what it was drawn from.
    assert len(gpu.waits) == 1 + 4 + 11 + 4 * 12 * each, Counter(gpu.waits)
    assert gpu.num_replayed == 11 - 2


def from_python(step: Any, positions: Tensor, length: int, window: int | None) -> Tensor:
    return torch.tensor([[0.0] * length], dtype=torch.bfloat16, device=positions.device)


def from_the_host(step: Any, positions: Tensor, length: int, window: int | None) -> Tensor:
    return torch.zeros(1, length, dtype=torch.bfloat16)


def fetched(step: Any, positions: Tensor, length: int, window: int | None) -> Tensor:
    return torch.zeros(1, length, dtype=torch.bfloat16, device="cuda") + int(positions[0])


@pytest.mark.parametrize("mask", [from_python, fetched])
def test_a_step_that_waits_is_noticed(
    gpu: FakeGpu, mask: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(StaticFusedStep, "_mask", mask)
    cached = cached_model(random_config("tiny"))
    _, *others = waits_for_each(gpu, cached, sampling=GREEDY)
    assert all(others[:-1])  # no step follows the last token
    assert cached.decoder_name == "fused"
    assert "not captured as a graph" in capsys.readouterr().err


def test_a_tensor_of_the_host_is_noticed(gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StaticFusedStep, "_mask", from_the_host)
    with pytest.raises(Exception, match=r"same device|different devices"):
        write(cached_model(random_config("tiny")), sampling=GREEDY)


def test_a_result_that_is_not_here_yet_is_noticed(
    gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.Event.synchronize", lambda _: None)
    with pytest.raises(RuntimeError, match="before it was here"):
        write(cached_model(random_config("tiny")), sampling=GREEDY)


def test_memory_that_is_not_pinned_is_noticed(
    gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Readback.__init__

    def unpinned(self: Readback, kind: Tensor) -> None:
        make(self, kind)
        self._slots = [torch.zeros(kind.shape, dtype=kind.dtype) for _ in self._slots]

    monkeypatch.setattr(Readback, "__init__", unpinned)
    cached = cached_model(random_config("tiny"))
    _, *others = waits_for_each(gpu, cached, sampling=GREEDY)
    assert all("copied to cpu" in wait for waits in others for wait in waits)
    assert any(others)


def test_settings_that_are_made_anew_are_noticed(
    gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    use = DrawingRun.use

    def anew(self: DrawingRun, sampling: Sampling) -> None:
        use(self, sampling)
        self._min_p = torch.full((), sampling.min_p, device="cuda")

    monkeypatch.setattr(DrawingRun, "use", anew)
    with pytest.raises(RuntimeError, match="was freed"):
        write(cached_model(random_config("tiny")), sampling=GREEDY)
