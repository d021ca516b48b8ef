"""GGUF files: converted once, exactly, completely or not at all."""

import contextlib
import json
import os
import shutil
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

from chatbot.engine import gguf_conversion, gguf_unpacking
from chatbot.engine.finding import find_model
from chatbot.engine.gguf_conversion import FORMAT_VERSION, convert, converted_folder
from chatbot.engine.kv_cache import CachedModel
from chatbot.engine.loading import load
from chatbot.errors import ModelError
from chatbot.models.gguf_header import MAX_ELEMENTS, GgufHeader, content_key, read_header
from tests.engine.test_fused_decoder import SIZES
from tests.engine.tiny_models import CHATML, make_llama

F32, F16, Q8_0 = (
    gguf.GGMLQuantizationType.F32,
    gguf.GGMLQuantizationType.F16,
    gguf.GGMLQuantizationType.Q8_0,
)


def quiet(stage: str, fraction: float | None) -> None:
    """Report nothing."""


def interleaved(weight: np.ndarray, num_heads: int) -> np.ndarray:
    """Query and key rows in the order in which GGUF keeps those of Llama."""
    rows, columns = weight.shape
    halves = weight.reshape(num_heads, 2, rows // num_heads // 2, columns)
    return halves.swapaxes(1, 2).reshape(rows, columns)


def begun(file: Path, config: Any, architecture: str) -> gguf.GGUFWriter:
    """A GGUF file with the sizes that every model has."""
    writer = gguf.GGUFWriter(str(file), architecture)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    return writer


def ended(writer: gguf.GGUFWriter, file: Path) -> Path:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def write_gguf(
    file: Path, model: Any, tokenizer: Any, kind: Any = F32, architecture: str = "llama"
) -> Path:
    """``model`` as a GGUF file with its matrices in the format ``kind``."""
    config = model.config
    writer = begun(file, config, architecture)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    add_vocabulary(writer, tokenizer)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, value in model.state_dict().items():
        if name == "lm_head.weight":
            continue
        data = value.float().numpy()
        if "q_proj" in name:
            data = interleaved(data, config.num_attention_heads)
        if "k_proj" in name:
            data = interleaved(data, config.num_key_value_heads)
        stored = F32 if data.ndim == 1 else kind
        short = names.get_name(name.removesuffix(".weight")) + ".weight"
        writer.add_tensor(short, gguf.quantize(data, stored), raw_dtype=stored)
    return ended(writer, file)


def add_vocabulary(writer: gguf.GGUFWriter, tokenizer: Any) -> None:
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list([token for token, _ in vocabulary])
    writer.add_token_types([3 if number < 3 else 1 for _, number in vocabulary])
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(CHATML)


@pytest.fixture(scope="module")
def gguf_file(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("gguf") / "Tiny.gguf", make_llama(), tokenizer)


def damaged(source: Path, target: Path, change: Callable[[bytearray], object]) -> Path:
    content = bytearray(source.read_bytes())
    change(content)
    target.write_bytes(content)
    return target


def load_gguf(file: Path, models_dir: Path) -> None:
    folder = convert(file, file.stem, models_dir, quiet)
    load(find_model(str(folder), quiet), "fp32", torch.device("cpu"), quiet)


def refusal(file: Path, models_dir: Path) -> str:
    with pytest.raises(ModelError) as caught:
        convert(file, file.stem, models_dir, quiet)
    assert folders(models_dir) == []
    text = str(caught.value)
    assert "\n" not in text
    return text


def folders(models_dir: Path) -> list[str]:
    if not models_dir.is_dir():
        return []
    return [entry.name for entry in models_dir.iterdir() if entry.is_dir()]


def test_the_converted_model_computes_the_same(
    gguf_file: Path, tokenizer: Any, tmp_path: Path
) -> None:
    stages: list[tuple[str, float | None]] = []
    folder = convert(gguf_file, "Tiny", tmp_path, lambda *stage: stages.append(stage))
    model = AutoModelForCausalLM.from_pretrained(folder)
    ids = torch.arange(3, 60)[None]
    with torch.inference_mode():
        expected, actual = make_llama()(ids).logits, model(ids).logits
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-4)
    again = AutoTokenizer.from_pretrained(folder)
    assert again.chat_template == CHATML
    text = "What is the capital? <|im_end|> é汉"
    assert again(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert model.generation_config.eos_token_id == 2
    assert not hasattr(model.config, "quantization_config")
    assert {stage for stage, _ in stages} == {"Reading Tiny", "Converting Tiny", "Writing Tiny"}


def write_gemma(file: Path, model: Any) -> Path:
    """Gemma 3 as a GGUF file, in which 1 is added to the weights of norms already."""
    config = model.config
    writer = begun(file, config, "gemma3")
    writer.add_key_length(config.head_dim)
    writer.add_sliding_window(config.sliding_window)
    rope = config.rope_parameters["full_attention"]
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
    writer.add_rope_scaling_factor(rope["factor"])
    tokens = ["<pad>", "<eos>", "<bos>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokens += [f"w{number}" for number in range(len(tokens), config.vocab_size)]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([-float(number) for number in range(len(tokens))])
    writer.add_token_types([3] * 3 + [6] * 256 + [1] * (len(tokens) - 259))
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.GEMMA3, config.num_hidden_layers)
    for name, value in model.state_dict().items():
        if name != "lm_head.weight":
            short = names.get_name(name.removesuffix(".weight")) + ".weight"
            writer.add_tensor(short, (value + 1 if "norm" in name else value).numpy())
    return ended(writer, file)


def test_gemma_comes_to_the_same_by_our_own_step(tmp_path: Path) -> None:
    sizes = {"num_hidden_layers": 6, "sliding_window": 8, "query_pre_attn_scalar": 256}
    rope = {"full_attention": {"rope_type": "linear", "rope_theta": 5000.0, "factor": 8.0}}
    config = Gemma3TextConfig(
        **{**SIZES, **sizes, "head_dim": 32, "rope_parameters": rope, "tie_word_embeddings": True}
    )
    torch.manual_seed(0)
    model = Gemma3ForCausalLM(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:  # 0 as it is made
                parameter.normal_(0.5, 0.3)
    folder = convert(write_gemma(tmp_path / "m.gguf", model), "m", tmp_path / "out", quiet)
    cached = CachedModel(AutoModelForCausalLM.from_pretrained(folder).eval())
    assert cached.decoder_name == "fused"
    tokens = list(range(300, 360))
    with torch.inference_mode():
        expected = model(torch.tensor([tokens])).logits[0]
    torch.testing.assert_close(cached.read_each(tokens), expected, atol=2e-4, rtol=1e-3)


def test_the_sizes_of_experts_are_those_of_the_file(tokenizer: Any, tmp_path: Path) -> None:
    config = Qwen3MoeConfig(
        **SIZES,
        head_dim=16,
        num_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=32,
        norm_topk_prob=True,
    )
    torch.manual_seed(0)
    model = Qwen3MoeForCausalLM(config).eval()
    writer = begun(tmp_path / "m.gguf", config, "qwen3moe")
    writer.add_key_length(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_expert_count(config.num_experts)
    writer.add_expert_used_count(config.num_experts_per_tok)
    writer.add_expert_feed_forward_length(config.moe_intermediate_size)
    add_vocabulary(writer, tokenizer)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3MOE, config.num_hidden_layers)
    for name, value in model.state_dict().items():
        parts = {name.removesuffix(".weight"): value}
        if name.endswith("gate_up_proj"):
            gate, up = value.chunk(2, 1)
            parts = {name.replace("gate_up", "gate"): gate, name.replace("gate_up", "up"): up}
        for part, tensor in parts.items():
            writer.add_tensor(f"{names.get_name(part)}.weight", tensor.contiguous().numpy())
    folder = convert(ended(writer, tmp_path / "m.gguf"), "m", tmp_path / "out", quiet)
    ids = torch.arange(3, 60)[None]
    with torch.inference_mode():
        found = AutoModelForCausalLM.from_pretrained(folder)(ids).logits
        torch.testing.assert_close(found, model(ids).logits, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("kind", "dtype"), [(F32, torch.float32), (F16, torch.float16), (Q8_0, torch.bfloat16)]
)
def test_the_number_format_follows_the_file(
    tokenizer: Any, tmp_path: Path, kind: Any, dtype: torch.dtype
) -> None:
    file = write_gguf(tmp_path / "m.gguf", make_llama(), tokenizer, kind)
    model = AutoModelForCausalLM.from_pretrained(convert(file, "m", tmp_path / "out", quiet))
    assert model.dtype == dtype


def test_the_quick_reader_reads_what_the_original_does(gguf_file: Path) -> None:
    quick, original = gguf_unpacking._QuickReader(gguf_file), gguf.GGUFReader(gguf_file)
    assert list(quick.fields) == list(original.fields)
    for name, field in original.fields.items():
        other = quick.fields[name]
        assert other.types == field.types
        assert other.contents() == field.contents()
        values = [field.parts[index].tolist() for index in field.data]
        assert [other.parts[index].tolist() for index in other.data] == values
    for first, second in zip(original.tensors, quick.tensors, strict=True):
        assert first.name == second.name
        assert np.array_equal(first.data, second.data)


def test_a_second_time_takes_what_is_there(
    gguf_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = convert(gguf_file, "Tiny", tmp_path, quiet)
    monkeypatch.setattr(gguf_unpacking, "unpack", None)
    assert convert(gguf_file, "Tiny", tmp_path, quiet) == first


def test_changed_content_is_converted_anew(gguf_file: Path, tmp_path: Path) -> None:
    def change(content: bytearray) -> None:
        content[-1] ^= 1

    other = damaged(gguf_file, tmp_path / "Tiny.gguf", change)
    assert content_key(other) != content_key(gguf_file)
    assert content_key(gguf_file) == content_key(gguf_file)


def test_leftovers_of_a_crash_are_removed_and_never_used(gguf_file: Path, tmp_path: Path) -> None:
    left = tmp_path / ".partial-crashed"
    left.mkdir()
    (left / "model.safetensors").write_bytes(b"half")
    folder = convert(gguf_file, "Tiny", tmp_path, quiet)
    assert folders(tmp_path) == [folder.name]


def test_what_another_version_made_of_the_file_is_removed(gguf_file: Path, tmp_path: Path) -> None:
    place = converted_folder(gguf_file, "Tiny", tmp_path)
    older = tmp_path / place.name.replace(f"-v{FORMAT_VERSION}", "-v1")
    other = tmp_path / "Tiny-0123-v1"
    for folder in (older, other):
        folder.mkdir()
    convert(gguf_file, "Tiny", tmp_path, quiet)
    assert sorted(folders(tmp_path)) == sorted([place.name, other.name])


def test_two_at_once_make_one_folder(gguf_file: Path, tmp_path: Path) -> None:
    results: list[Path] = []

    def work() -> None:
        results.append(convert(gguf_file, "Tiny", tmp_path, quiet))

    from filelock import FileLock

    with FileLock(tmp_path / ".conversion.lock"):
        waiting = threading.Thread(target=work)
        waiting.start()
        gguf_conversion._convert_into(
            gguf_conversion.converted_folder(gguf_file, "Tiny", tmp_path),
            gguf_file,
            "Tiny",
            read_header(gguf_file),
            quiet,
        )
    waiting.join(60)
    assert folders(tmp_path) == [results[0].name]


def test_names_cannot_leave_the_folder(gguf_file: Path, tmp_path: Path) -> None:
    folder = gguf_conversion.converted_folder(gguf_file, "../../x y", tmp_path)
    assert folder.parent == tmp_path
    assert folder.name.startswith("x-y-")


def test_a_file_that_is_no_gguf(tmp_path: Path) -> None:
    file = tmp_path / "a.gguf"
    file.write_bytes(b"not a model at all")
    assert "does not begin as one" in refusal(file, tmp_path / "out")


def test_an_empty_file(tmp_path: Path) -> None:
    file = tmp_path / "a.gguf"
    file.write_bytes(b"")
    assert "cut short" in refusal(file, tmp_path / "out")


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9, 0.9999])
def test_a_file_that_is_cut_short(gguf_file: Path, tmp_path: Path, share: float) -> None:
    content = gguf_file.read_bytes()
    file = tmp_path / "a.gguf"
    file.write_bytes(content[: int(len(content) * share)])
    assert "download it again" in refusal(file, tmp_path / "out")


@pytest.mark.parametrize("offset", [8, 16, 24])
@pytest.mark.parametrize("size", [2**40, 2**63, 2**64 - 1])
def test_absurd_sizes_in_the_header(
    gguf_file: Path, tmp_path: Path, offset: int, size: int
) -> None:
    """The number of tensors, the number of fields, and the length of the first name."""
    file = damaged(
        gguf_file,
        tmp_path / "a.gguf",
        lambda content: struct.pack_into("<Q", content, offset, size),
    )
    assert "absurd size" in refusal(file, tmp_path / "out")


def test_another_version(gguf_file: Path, tmp_path: Path) -> None:
    file = damaged(
        gguf_file, tmp_path / "a.gguf", lambda content: struct.pack_into("<I", content, 4, 99)
    )
    assert "version 99" in refusal(file, tmp_path / "out")


def test_random_damage_in_the_head_never_escapes(gguf_file: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    file = tmp_path / "a.gguf"
    original = gguf_file.read_bytes()
    for _ in range(300):
        content = bytearray(original)
        for position in random.integers(0, 4000, 4):
            content[position] = random.integers(0, 256)
        file.write_bytes(content)
        with contextlib.suppress(ModelError):
            read_header(file)


def test_an_absurd_number_of_layers(gguf_file: Path, tmp_path: Path) -> None:
    def change(content: bytearray) -> None:
        key = b"llama.block_count"
        struct.pack_into("<I", content, content.index(key) + len(key) + 4, 2**31)

    assert "absurd size" in refusal(damaged(gguf_file, tmp_path / "a.gguf", change), tmp_path / "o")


def test_absurdly_many_elements_in_the_header(tmp_path: Path) -> None:
    """A file may well hold so many, and would take hundreds of times its size to read."""

    def text(value: bytes) -> bytes:
        return struct.pack("<Q", len(value)) + value

    def header_of(*counts: int) -> GgufHeader:
        content = b"GGUF" + struct.pack("<IQQ", 3, 1, 1 + len(counts))
        content += text(b"general.architecture") + struct.pack("<I", 8) + text(b"llama")
        for count in counts:  # of bytes
            content += text(b"x") + struct.pack("<IIQ", 9, 0, count) + bytes(count)
        content += text(b"a") + struct.pack("<IQIQ", 1, 32, 0, 0) + bytes(32 + 4 * 32)
        file = tmp_path / "a.gguf"
        file.write_bytes(content)
        return read_header(file)

    assert header_of(MAX_ELEMENTS - 5, 5).num_values == 32
    for counts in ((MAX_ELEMENTS + 1,), (MAX_ELEMENTS - 5, 6)):
        with pytest.raises(ModelError, match="absurd size"):
            header_of(*counts)


def test_contradicting_sizes_and_missing_weights(
    gguf_file: Path, tokenizer: Any, tmp_path: Path
) -> None:
    def shrink(content: bytearray) -> None:
        key = b"llama.feed_forward_length"
        struct.pack_into("<I", content, content.index(key) + len(key) + 4, 8)

    wrong = damaged(gguf_file, tmp_path / "a.gguf", shrink)
    # Up to transformers 5.22 it is noticed where what was made of it is loaded.
    with pytest.raises(ModelError, match=r"could not be converted|mismatched_sizes"):
        load_gguf(wrong, tmp_path / "wrong")
    model = make_llama()
    del model.model.norm.weight
    missing = write_gguf(tmp_path / "b.gguf", model, tokenizer)
    assert "weights are missing" in refusal(missing, tmp_path / "out")


def test_an_architecture_that_is_not_supported(tokenizer: Any, tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "m.gguf", make_llama(), tokenizer, architecture="nonesuch")
    assert "nonesuch" in refusal(file, tmp_path / "out")


def test_too_little_space_is_noticed_beforehand(
    gguf_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert "CHATBOT_CACHE_DIR" in refusal(gguf_file, tmp_path / "out")


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_disk_that_fills_up_meanwhile(
    gguf_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrapped: bool
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        if wrapped:  # as the writer of safetensors does
            raise RuntimeError("I/O error: No space left on device (os error 28)")
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(gguf_unpacking, "save_file", fail)
    assert "too full" in refusal(gguf_file, tmp_path / "out")
