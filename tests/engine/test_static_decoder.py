"""The step on a cache that does not move, against transformers' own cache; capturing it is played
by a stand-in, since the real one needs a GPU."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import (
    BambaConfig,
    BambaForCausalLM,
    Cohere2Config,
    Cohere2ForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    Gemma4ForCausalLM,
    Gemma4TextConfig,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    GptOssConfig,
    GptOssForCausalLM,
    Lfm2Config,
    Lfm2ForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    Qwen2MoeConfig,
    Qwen2MoeForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from chatbot.engine.decode.brake import Brake
from chatbot.engine.decode.decoder import Interrupted
from chatbot.engine.decode.gpu.graphed_steps import NUM_EAGER
from chatbot.engine.decode.gpu.graphs import CudaCapture, Step
from chatbot.engine.decode.gpu.static import StaticDecoder
from chatbot.engine.decode.gpu.static_cache import bucket
from chatbot.engine.decode.gpu.static_fused_step import StaticFusedStep
from chatbot.engine.decode.gpu.static_step import ForwardStep, forward_refusal
from chatbot.engine.decode.plain import TransformersDecoder
from chatbot.engine.drawing import DrawingRun
from chatbot.engine.inbox import Control
from chatbot.engine.kv_cache import CachedModel
from chatbot.engine.token_loop import write_tokens
from chatbot.settings import Sampling
from tests.engine.captures import OnDevice, Replaying
from tests.engine.test_fused_decoder import SIZES
from tests.engine.tiny_models import make_gpt2, make_llama

TOKENS = [(11 * n) % 390 + 3 for n in range(700)]

WINDOW: dict[str, Any] = {
    "head_dim": 16,
    "sliding_window": 48,
    "layer_types": ["sliding_attention", "full_attention"],
}
FAMILIES: dict[str, Callable[[], Any]] = {
    "llama": make_llama,
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SIZES, head_dim=16)),
    "phi3": lambda: Phi3ForCausalLM(Phi3Config(**SIZES)),
    "gpt-neox": lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**SIZES)),
    "mixture": lambda: Qwen2MoeForCausalLM(
        Qwen2MoeConfig(**SIZES, num_experts=4, moe_intermediate_size=32)
    ),
    # The others have layers that look back over a window.
    "mistral": lambda: MistralForCausalLM(MistralConfig(**SIZES, sliding_window=48)),
    "gemma2": lambda: Gemma2ForCausalLM(
        Gemma2Config(**SIZES, **WINDOW, attn_implementation="eager")
    ),
    "gemma3": lambda: Gemma3ForCausalLM(Gemma3TextConfig(**SIZES, **WINDOW)),
    "gemma4": lambda: Gemma4ForCausalLM(Gemma4TextConfig(**SIZES, **WINDOW)),
    "cohere2": lambda: Cohere2ForCausalLM(Cohere2Config(**SIZES, **WINDOW)),
    "gpt-oss": lambda: GptOssForCausalLM(GptOssConfig(**SIZES, **WINDOW, num_local_experts=4)),
}


def never() -> bool:
    return False


def decoders(model: Any) -> tuple[StaticDecoder, TransformersDecoder, Replaying]:
    model = model.eval()
    brake, capture = Brake(model), Replaying()
    static = StaticDecoder(ForwardStep(model), brake, capture)
    return static, TransformersDecoder(model, brake), capture


@pytest.mark.parametrize("family", FAMILIES)
def test_every_step_equals_that_of_a_cache_that_grows(family: str) -> None:
    torch.manual_seed(0)
    model = FAMILIES[family]()
    assert forward_refusal(model) == ""
    static, growing, capture = decoders(model)
    start = 0
    for size in (130, 1, 1, 1, 1, 120, 1, 1, 1, 1, 40):
        tokens = TOKENS[start : start + size]
        ours = static.read(tokens, start, never)
        torch.testing.assert_close(ours, growing.read(tokens, start, never), atol=2e-4, rtol=1e-4)
        start += size
    assert capture.num_captured >= 1
    assert static.name == "static graph"


def test_a_graph_for_each_length_and_new_ones_when_the_memory_moves() -> None:
    torch.manual_seed(0)
    static, growing, capture = decoders(make_llama(max_position_embeddings=4096))
    static.read(TOKENS[:250], 0, never)
    growing.read(TOKENS[:250], 0, never)
    before = static.num_cache_bytes
    for n in range(250, 260):  # 256 is the end of the first length
        ours = static.read([TOKENS[n]], n, never)
        expected = growing.read([TOKENS[n]], n, never)
        torch.testing.assert_close(ours, expected, atol=2e-4, rtol=1e-4)
    assert capture.num_captured == 2
    assert capture.num_replayed == 10 - 2 * NUM_EAGER
    assert static.num_cache_bytes == before
    long = [TOKENS[n % 700] for n in range(900)]
    static.read(long, 260, never)
    growing.read(long, 260, never)
    assert static.num_cache_bytes > before
    assert static.name == "static"
    for n in range(1160, 1164):
        ours = static.read([5], n, never)
        torch.testing.assert_close(ours, growing.read([5], n, never), atol=2e-4, rtol=1e-4)
    assert capture.num_captured == 3


def test_lengths() -> None:
    assert [bucket(n) for n in (1, 256, 257, 384, 385, 512, 513, 769, 5000)] == [
        *(256, 256, 384, 384, 512, 512, 768, 1024, 6144)
    ]


def test_guesses_are_checked_by_graphs_and_taken_back() -> None:
    torch.manual_seed(0)
    static, growing, capture = decoders(make_llama())
    static.read(TOKENS[:60], 0, never)
    growing.read(TOKENS[:60], 0, never)
    for n in range(5):
        guess = [7 + n, 8, 9, 10]
        ours = static.read(guess, 60, never, wants_each=True)
        expected = growing.read(guess, 60, never, wants_each=True)
        torch.testing.assert_close(ours, expected, atol=2e-4, rtol=1e-4)
        assert static.crop(60)
        assert growing.crop(60)
    assert capture.num_replayed == 5 - NUM_EAGER
    ours = static.read([3], 60, never)
    torch.testing.assert_close(ours, growing.read([3], 60, never), atol=2e-4, rtol=1e-4)


def test_guesses_are_checked_up_to_the_last_position() -> None:
    torch.manual_seed(0)
    static, growing, _ = decoders(make_gpt2())  # which has learned 256 positions, and no more
    static.read(TOKENS[:230], 0, never)
    growing.read(TOKENS[:230], 0, never)
    for start, end in ((230, 240), (240, 248), (248, 256)):
        ours = static.read(TOKENS[start:end], start, never, wants_each=True)
        expected = growing.read(TOKENS[start:end], start, never, wants_each=True)
        torch.testing.assert_close(ours, expected, atol=2e-4, rtol=1e-4)


def test_logits_stay_when_the_next_step_has_run() -> None:
    torch.manual_seed(0)
    model = make_llama()
    static, _, _ = decoders(model)
    kept = [static.read([TOKENS[n]], n, never) for n in range(8)]
    again, _, _ = decoders(model)
    whole = again.read(TOKENS[:8], 0, never, wants_each=True)
    torch.testing.assert_close(torch.stack(kept), whole, atol=2e-4, rtol=1e-4)


def test_what_cannot_be_captured_goes_on_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(_step: Step) -> Step:
        raise RuntimeError("operation not permitted when stream is capturing")

    model = make_llama().eval()
    static = StaticDecoder(ForwardStep(model), Brake(model), refuse)
    for n in range(6):
        assert static.read([TOKENS[n]], n, never).isfinite().all()
    assert static.name == "static"
    assert capsys.readouterr().err.count("not captured as a graph") == 1


def test_reading_is_broken_off_between_layers() -> None:
    static, _, _ = decoders(make_llama())
    static.read(TOKENS[:20], 0, never)
    with pytest.raises(Interrupted):
        static.read(TOKENS[20:40], 20, lambda: True)
    assert static.read(TOKENS[20:40], 20, never).isfinite().all()


def test_kinds_of_layers_that_are_not_known_are_left_to_transformers() -> None:
    config = Lfm2Config(**SIZES, layer_types=["conv", "full_attention"])
    assert "conv" in forward_refusal(Lfm2ForCausalLM(config))


def test_layers_that_keep_no_keys_are_left_to_transformers() -> None:
    config = BambaConfig(**SIZES, attn_layer_indices=[1], mamba_n_heads=8)
    assert "something else than keys" in forward_refusal(BambaForCausalLM(config))


def test_layers_that_share_keys_are_left_to_transformers() -> None:
    sizes = {**SIZES, "num_hidden_layers": 4}
    config = Gemma4TextConfig(
        **sizes, num_kv_shared_layers=2, layer_types=["sliding_attention", "full_attention"] * 2
    )
    assert "share" in forward_refusal(Gemma4ForCausalLM(config))


def test_kinds_that_the_family_knows_nothing_of_are_none() -> None:
    torch.manual_seed(0)
    kinds = ["full_attention", "sliding_attention"]
    config = MistralConfig(**SIZES, sliding_window=16, layer_types=kinds)
    static, growing, _ = decoders(MistralForCausalLM(config))
    ours = static.read(TOKENS[:60], 0, never)
    torch.testing.assert_close(ours, growing.read(TOKENS[:60], 0, never), atol=2e-4, rtol=1e-4)


def test_a_window_that_the_family_knows_nothing_of_is_none() -> None:
    torch.manual_seed(0)
    static, growing, _ = decoders(make_llama(sliding_window=16))
    ours = static.read(TOKENS[:60], 0, never)
    torch.testing.assert_close(ours, growing.read(TOKENS[:60], 0, never), atol=2e-4, rtol=1e-4)


def test_a_rotation_that_changes_with_the_length_is_left_to_transformers() -> None:
    rope = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}
    assert "dynamic" in forward_refusal(make_llama(rope_parameters=rope))


def answers(model: Any, make: Callable[[CachedModel], None]) -> list[list[int]]:
    """Two answers of one cache, the second to an edited question, with settings that change."""
    cached = CachedModel(model)
    make(cached)
    found = []
    for prompt in (TOKENS[:40], [*TOKENS[:30], *TOKENS[100:120]]):
        sampling = Sampling(temperature=0.8, top_k=20, top_p=0.9, seed=7, max_tokens=60)
        control = Control(sampling)
        cached.rewind(prompt, reproducible=True)
        tokens: list[int] = []
        loop = write_tokens(
            cached, prompt, control, sampling=sampling, context_length=500, end_tokens=()
        )
        for item in loop:
            if isinstance(item, int):
                tokens.append(item)
            if len(tokens) == 30:
                control.sampling = Sampling(
                    temperature=0.3, min_p=0.1, repetition_penalty=1.2, seed=7, max_tokens=60
                )
        found.append(tokens)
    return found


def test_answers_are_those_of_the_other_step() -> None:
    torch.manual_seed(0)
    model = make_llama().eval()
    capture = Replaying()

    def use(kind: str) -> Callable[[CachedModel], None]:
        def put(cached: CachedModel) -> None:
            brake = cached._brake
            cached._decoder = (
                StaticDecoder(ForwardStep(model), brake, capture)
                if kind == "static"
                else TransformersDecoder(model, brake)
            )

        return put

    assert answers(model, use("static")) == answers(model, use("transformers"))
    assert capture.num_replayed > 80


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["static", "fused"])
def test_a_real_graph_gives_the_logits_of_the_plain_step(name: str) -> None:
    torch.manual_seed(0)
    model = make_llama(max_position_embeddings=4096).eval().to("cuda")
    brake = Brake(model)
    step = ForwardStep(model) if name == "static" else StaticFusedStep(model, brake)
    static = StaticDecoder(step, brake, CudaCapture())
    growing = TransformersDecoder(model, brake)
    static.read(TOKENS[:250], 0, never)
    growing.read(TOKENS[:250], 0, never)
    for n in range(250, 300):
        ours = static.read([TOKENS[n]], n, never)
        expected = growing.read([TOKENS[n]], n, never)
        torch.testing.assert_close(ours, expected, atol=1e-3, rtol=1e-3)
    guess = TOKENS[:5]
    for _ in range(NUM_EAGER + 2):
        ours = static.read(guess, 300, never, wants_each=True)
        expected = growing.read(guess, 300, never, wants_each=True)
        torch.testing.assert_close(ours, expected, atol=1e-3, rtol=1e-3)
        growing.crop(300)
    assert static.name == f"{name} graph"
    # The memory moves, and what was captured with it is captured anew.
    static.read(TOKENS * 2, 300, never)
    growing.read(TOKENS * 2, 300, never)
    for n in range(1700, 1700 + NUM_EAGER + 2):
        ours = static.read([TOKENS[n % 700]], n, never)
        expected = growing.read([TOKENS[n % 700]], n, never)
        torch.testing.assert_close(ours, expected, atol=1e-3, rtol=1e-3)
    assert static.name == f"{name} graph"
    assert CachedModel(model).decoder_name == "fused"


@pytest.mark.parametrize("make_step", [StaticFusedStep, ForwardStep])
@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_a_step_with_its_draw_makes_nothing_elsewhere(
    family: str, make_step: type[StaticFusedStep] | type[ForwardStep]
) -> None:
    """By torch's device without memory, in place of a GPU."""
    device = torch.device("meta")
    with device:
        model = FAMILIES[family]().eval()
    is_fused = make_step is StaticFusedStep
    step = StaticFusedStep(model, Brake(model)) if is_fused else ForwardStep(model)
    cache = step.make_cache()
    cache.reserve(bucket(1), 0)
    size = model.config.vocab_size
    run = DrawingRun(size, device, None)
    run.use(Sampling(repetition_penalty=1.2))
    draw = run.step_draw(4)
    token, position = torch.zeros(2, 1, dtype=torch.int64, device=device)
    with torch.inference_mode():
        step(cache, token[None], position, bucket(1))  # which makes its memory
        with OnDevice(device) as seen:
            logits = step(cache, token[None], position, bucket(1))
            draw(logits[0, 0], token, position)
    assert logits.device == draw.results.device == device
    assert seen.num_seen > 50


def test_a_tensor_that_is_elsewhere_is_noticed() -> None:
    with OnDevice(torch.device("meta")), pytest.raises(RuntimeError, match="on cpu"):
        torch.zeros(1) + 1
