"""``chatbot bench speed``: what it reports and what it refuses. Times are never judged."""

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModelForCausalLM

from chatbot.commands.bench import add_bench_parser, run_bench
from chatbot.engine.benchmark import measuring, running
from chatbot.engine.benchmark.measuring import first_token, step_bytes, weight_bytes
from chatbot.engine.benchmark.quantising import quantise
from chatbot.engine.benchmark.report import FirstToken, Report, format_report
from chatbot.engine.benchmark.rivals import LlamaCpp
from chatbot.engine.benchmark.running import main
from chatbot.engine.benchmark.shapes import random_config
from chatbot.engine.decode.cpu.preparing import prepare_for_cpu
from chatbot.engine.decode.gpu.graphed_steps import NUM_EAGER
from chatbot.engine.drawing import DrawingRun
from chatbot.engine.kv_cache import CachedModel
from chatbot.engine.quantised_experts import round_experts_of
from chatbot.errors import ModelError
from chatbot.settings import Precision
from tests.engine.captures import NoWaiting, Replaying
from tests.engine.test_fused_decoder import make
from tests.engine.test_pipeline import OnDevice
from tests.engine.tiny_models import make_llama


@pytest.fixture(autouse=True)
def small_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "COPIED_BYTES", 2**20)


def run(capsys: pytest.CaptureFixture[str], *flags: str) -> dict[str, Any]:
    assert main([*flags, "--tokens", "6", "--runs", "1", "--history", "40", "--json"]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return report


@pytest.mark.parametrize("precision", ["fp32", "bf16", "8-bit", "4-bit"])
def test_a_random_shape_is_measured(precision: str, capsys: pytest.CaptureFixture[str]) -> None:
    report = run(capsys, "--random-config", "tiny", "--precision", precision)
    assert report["precision"] == precision
    assert report["decoder"] == "fused"
    assert report["num_parameters"] == 512 * 64 * 2 + 2 * (64 * 128 + 64 * 64 + 3 * 64 * 128) + (
        5 * 64
    )
    assert report["generate_precision"] == (precision if precision == "fp32" else "bf16")
    for name in ("copy_bytes_per_second", "decode_tokens_per_second", "generate_tokens_per_second"):
        assert report[name] > 0
    assert report["ceiling_tokens_per_second"] == pytest.approx(
        report["copy_bytes_per_second"] / report["step_bytes"]
    )
    (first,) = report["first_tokens"]
    assert first["num_history_tokens"] == 40
    assert first["warm_seconds"] > 0
    assert first["generate_seconds"] > 0


def test_a_step_that_is_launched_ahead_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[OnDevice] = []

    def make(model: Any) -> OnDevice:
        made.append(OnDevice(model))
        return made[0]

    monkeypatch.setattr(running, "CachedModel", make)
    monkeypatch.setattr(running, "prepare_for_cpu", lambda *_: None)
    report = run(capsys, "--random-config", "tiny", "--no-generate")
    assert report["decoder"] == "fused graph"
    (cached,) = made
    assert isinstance(cached.capture, Replaying)
    # Five steps with draws, and the first draws of five answers.
    assert cached.capture.num_replayed == 2 * (5 - NUM_EAGER)


@pytest.mark.parametrize("shape", ["smollm2-135m", "qwen3-8b", "llama-2-7b", "llama-3.1-8b"])
def test_the_shapes_take_a_step_with_its_draw_on_a_gpu(shape: str) -> None:
    # Tensors of this device have a shape and no memory.
    device = torch.device("meta")
    with device:
        config = random_config(shape)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()
    decoder = OnDevice(model)._make_decoder()
    draw = DrawingRun(config.vocab_size, device, None).step_draw(0)
    decoder.read([1, 2, 3], 0, lambda: False)
    with NoWaiting():
        decoder.read_and_draw(draw, 3, 4)
    # Room for the first 1,024 tokens, as two numbers of two bytes for each head's size.
    sizes = config.num_hidden_layers * config.num_key_value_heads * config.head_dim
    assert decoder.num_cache_bytes == 1024 * 4 * sizes


@pytest.mark.parametrize(("precision", "most"), [("8-bit", 0.03), ("4-bit", 0.15)])
@torch.inference_mode()
def test_random_weights_are_rounded_as_those_of_a_folder(precision: Precision, most: float) -> None:
    model = make_llama(hidden_size=64, intermediate_size=128).to(torch.bfloat16)
    before, layer = step_bytes(model), model.model.layers[0].mlp.up_proj
    inputs = torch.randn(1, 64, generator=torch.Generator().manual_seed(1)).to(torch.bfloat16)
    exact = layer(inputs).float()
    quantise(model, precision)
    found = model.model.layers[0].mlp.up_proj(inputs).float()
    assert 0 < (found - exact).norm() / exact.norm() < most
    assert model(torch.tensor([[5, 6, 7]])).logits.isfinite().all()
    # The head, which is the embedding, stays as it is, and so do the norms.
    kept = 2 * (400 * 64 + 5 * 64)
    if precision == "8-bit":
        assert step_bytes(model) == kept + (before - kept) // 2
        return
    # Of 14 layers: a byte for each 64 weights, so one number for at most 256 of these bytes, and
    # tables of 16 and 256 numbers.
    num_weights = 2 * (64 * 128 + 64 * 64 + 3 * 64 * 128)
    scales = num_weights // 64 + 14 * 4 * (1 + 16 + 256)
    assert step_bytes(model) == weight_bytes(model) == kept + num_weights // 2 + scales


def test_a_folder_is_measured_and_shown_as_a_table(
    tiny_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--model", str(tiny_folder), "--precision", "fp32", "--tokens", "4", "--runs", "2"]
    assert main([*flags, "--history", "30", "5000", "--no-generate"]) == 0
    text = capsys.readouterr().out
    assert "Decode, ours (fused)" in text
    assert "generate()" not in text
    assert "First token after 30 tokens" in text
    assert "5,000" not in text  # longer than its context


class Noted(CachedModel):
    """Notes how many tokens were read at a time."""

    def __init__(self, model: Any) -> None:
        self.portions: list[int] = []
        super().__init__(model)

    def read(
        self, tokens: Sequence[int], is_cancelled: Callable[[], bool] = lambda: False
    ) -> torch.Tensor:
        self.portions.append(len(tokens))
        return super().read(tokens, is_cancelled)


class Generating:
    """Stands for a model of transformers, and notes how many tokens it read."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        self.portions: list[int] = []

    def generate(self, ids: torch.Tensor, **_: Any) -> None:
        self.portions.append(ids.shape[1])


@pytest.mark.parametrize("num_copies", [1, 3])
def test_all_copies_of_one_timing_are_counted(
    num_copies: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[int] = []

    class Copies(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            copied.append(args[1].nbytes if func is torch.ops.aten.copy_.default else 0)
            return func(*args, **(kwargs or {}))

    def timed(action: Callable[[], Any], _: torch.device) -> float:
        copied.clear()
        with Copies():
            action()
        return 0.5

    monkeypatch.setattr(measuring, "timed", timed)
    speed = measuring.copy_bandwidth(torch.device("cpu"), num_copies)
    assert copied == [2**20] * num_copies
    assert speed == 2 * sum(copied) / 0.5  # read and written


@pytest.mark.parametrize("num_untimed", [0, 2])
def test_what_a_first_reading_waits_for_is_over_before_one_is_timed(
    num_untimed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, plain = Noted(make_llama()), Generating()
    before: list[int] = []

    def timed(action: Callable[[], Any], _: torch.device) -> float:
        before.append(len(ours.portions) + len(plain.portions))
        action()
        return 1.0

    monkeypatch.setattr(measuring, "timed", timed)
    first_token(ours, 400, 40, plain, num_untimed=num_untimed)
    # The history with its question, and then, while the history is known, three questions.
    assert ours.portions == [72] * num_untimed + [72, 32, 32, 32]
    assert plain.portions == [72] * (num_untimed + 1)
    assert before == [num_untimed + n for n in (0, 1, 2, 3)] + [2 * num_untimed + 4]


def test_both_others_read_the_same_history_cold() -> None:
    first = FirstToken(
        num_history_tokens=512,
        cold_seconds=2.0,
        warm_seconds=0.05,
        generate_seconds=5.0,
        llama_cpp_seconds=3.0,
    )
    report = Report(
        model="a",
        precision="bf16",
        device="cpu",
        num_threads=2,
        decoder="fused",
        num_parameters=1,
        num_tokens=1,
        load_seconds=1.0,
        weight_bytes=1,
        memory_bytes=1,
        step_bytes=1,
        copy_bytes_per_second=1.0,
        ceiling_tokens_per_second=1.0,
        decode_tokens_per_second=1.0,
        first_tokens=(first,),
    )
    rows = [re.split(r" {2,}", line.strip()) for line in format_report(report).splitlines()]
    assert ["First token after 512 tokens", "2.00 s cold, 0.050 s warm, 40 times faster"] in rows
    assert ["generate()", "5.00 s cold; ours is 2.50 times as fast"] in rows
    assert ["llama.cpp", "3.00 s cold; ours is 1.50 times as fast"] in rows


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--random-config", "nothing"], "smollm2-135m"),
        (["--random-config", "tiny", "--tokens", "1"], "--tokens"),
        (["--model", "no/such/folder/at-all"], "no/such"),
        (["--random-config", "tiny", "--compare", "llama.cpp"], "llama"),
    ],
)
def test_what_cannot_be_measured_is_said_in_one_line(
    flags: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(flags) == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert words in said[-1]


def test_a_rival_that_is_broken_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "llama_cpp.py").write_text("import a_library_that_is_missing\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "llama_cpp", raising=False)
    file = tmp_path / "model.gguf"
    file.write_bytes(b"")
    with pytest.raises(ModelError, match=r"a_library_that_is_missing.*pip install"):
        LlamaCpp(str(file), 256)
    assert "Traceback" not in capsys.readouterr().err


def test_bytes_of_a_step_are_the_weights_that_it_reads() -> None:
    tied = make_llama()
    in_layers = sum(p.numel() for n, p in tied.named_parameters() if "embed" not in n)
    assert step_bytes(tied) == 4 * (in_layers + 400 * 32)  # the head reads the embedding
    assert weight_bytes(tied) == 4 * sum(p.numel() for p in tied.parameters())
    apart = make_llama(tie_word_embeddings=False).to(torch.bfloat16)
    assert weight_bytes(apart) - step_bytes(apart) == 2 * 400 * 32
    before = step_bytes(tied)
    prepare_for_cpu(tied, "8-bit")
    assert step_bytes(tied) < 0.5 * before


def test_of_experts_a_step_reads_those_that_it_has() -> None:
    whole, some = make("qwen 3 moe"), make("qwen 3 moe")
    whole.config.num_experts_per_tok = 6
    for model in (whole, some):
        prepare_for_cpu(model, "bf16")
    # Rows of 64 numbers in fp32; the 48 inputs of the last matrix are filled up to as many.
    in_experts = 2 * 6 * (2 * 48 + 64) * 64 * 4
    assert step_bytes(whole) - step_bytes(some) == in_experts // 2


@pytest.mark.parametrize("in_4_bits", [None, False, True])
def test_so_it_does_where_transformers_computes_them(in_4_bits: bool | None) -> None:
    whole, some = (make("qwen 3 moe").to(torch.bfloat16) for _ in range(2))
    whole.config.num_experts_per_tok = 6
    in_experts = 2 * 2 * 6 * 3 * 48 * 64  # numbers of 16 bits
    if in_4_bits is not None:
        for model in (whole, some):
            round_experts_of(model, in_4_bits=in_4_bits)
        num_scales = 2 * 6 * (3 * 48 if in_4_bits else 2 * 48 + 64)
        in_experts = in_experts // (4 if in_4_bits else 2) + 2 * num_scales
    assert step_bytes(whole) - step_bytes(some) == in_experts // 2


@pytest.mark.parametrize("arguments", [["bench"], ["bench", "speed", "-m", "x", "--json"]])
def test_the_command_starts_a_process_with_the_same_flags(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []

    def start(command: list[str], **_: Any) -> argparse.Namespace:
        started.append(command)
        return argparse.Namespace(returncode=7)

    monkeypatch.setattr("chatbot.commands.bench.subprocess.run", start)
    parser = argparse.ArgumentParser()
    add_bench_parser(parser.add_subparsers(dest="command"))
    assert run_bench(parser.parse_args(arguments)) == 7
    (command,) = started
    assert "chatbot.engine.benchmark" in command
    assert ("--json" in command) == ("--json" in arguments)
    assert ("x" in command) == ("x" in arguments)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["bf16", "4-bit"])
def test_a_gpu_is_measured_with_graphs(precision: str, capsys: pytest.CaptureFixture[str]) -> None:
    report = run(capsys, "--random-config", "tiny", "--precision", precision)
    assert report["decoder"] == "fused graph"
    assert report["precision"] == report["generate_precision"] == precision
