"""Unpacks the weights of a GGUF file, with transformers' own reader made bearable.

transformers parses the same file several times over, element by element, and builds one
name table for every module of the model: 30 s for a 100 MB file. For the time of one
conversion those parts are replaced by ones that do the same work once.
"""

import contextlib
import functools
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import gguf
import numpy as np
import torch
import transformers.modeling_gguf_pytorch_utils as gguf_loader
from gguf.constants import GGUFValueType
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
from transformers.integrations.ggml import GGUF_CONFIG_MAPPING
from transformers.utils import logging as transformers_logging

from chatbot.engine.failures import as_chatbot_error, is_out_of_memory
from chatbot.engine.progress import Report, progress_bars, replaced
from chatbot.errors import ModelError
from chatbot.models.gguf_header import GgufHeader
from chatbot.models.library_errors import first_sentence, is_disk_full

_DTYPES: Final = {"F16": torch.float16, "F32": torch.float32}

_EXPERTS: Final = {
    "expert_feed_forward_length": "moe_intermediate_size",
    "expert_shared_feed_forward_length": "shared_expert_intermediate_size",
}
"""Sizes that transformers' reader omits, in place of which it has those of one model."""


def unpack(file: Path, folder: Path, name: str, header: GgufHeader, report: Report) -> None:
    """Write ``file`` as a model folder that ``from_pretrained`` reads.

    Quantised weights become bfloat16; float16 and float32 stay what they are.

    Args:
        folder: exists and is empty.

    Raises:
        ModelError: the architecture is unknown or the content is damaged.
        OSError: the folder cannot be written.
    """
    report(f"Reading {name}", None)
    try:
        with _quick_loading(), progress_bars(f"Converting {name}", report):
            model, tokenizer = _load(file, _DTYPES.get(header.main_type, torch.bfloat16))
    except (OSError, MemoryError):
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        if "not supported" in str(error) or isinstance(error, NotImplementedError):
            raise ModelError(
                f"{name} is of the architecture {header.architecture}, which cannot be read from "
                "GGUF; use the model's safetensors form."
            ) from error
        raise ModelError(
            f"{name} could not be converted ({first_sentence(error)}); download it again."
        ) from error
    report(f"Writing {name}", None)
    try:
        _write(model, tokenizer, folder)
    except OSError:
        raise
    except Exception as error:
        if is_disk_full(error):
            raise OSError(28, "No space left on device") from error
        raise as_chatbot_error(error, f"converting {name}") from error


def _load(file: Path, dtype: torch.dtype) -> tuple[Any, Any]:
    options: dict[str, Any] = {"gguf_file": file.name, "local_files_only": True}
    tokenizer = AutoTokenizer.from_pretrained(file.parent, **options)
    model, outcome = AutoModelForCausalLM.from_pretrained(
        file.parent,
        dtype=dtype,
        quantization_config=GgufConfig(dequantize=True),
        output_loading_info=True,
        **options,
    )
    if missing := outcome["missing_keys"]:
        # transformers would fill them with random numbers.
        raise ValueError(f"weights are missing, such as {min(missing)}")
    _scale_positions(model.config, gguf.GGUFReader(str(file)).fields)
    return model, tokenizer


def _scale_positions(config: Any, fields: Any) -> None:
    """Write into ``config`` what positions are divided by, which transformers' reader omits."""
    scaling = f"{fields['general.architecture'].contents()}.rope.scaling"
    kind, factor = fields.get(f"{scaling}.type"), fields.get(f"{scaling}.factor")
    if kind is not None and factor is not None and kind.contents() == "linear":
        rope = config.rope_parameters
        # In Gemma 3, those of the layers without a window.
        rope.get("full_attention", rope).update(rope_type="linear", factor=factor.contents())


def _write(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write weights, configuration and tokenizer; what is tied is written once."""
    tied = set(getattr(model, "all_tied_weights_keys", None) or ())
    weights = {
        key: value.contiguous() for key, value in model.state_dict().items() if key not in tied
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = model.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.architectures = [type(model).__name__]
    config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


class _QuickReader(gguf.GGUFReader):  # type: ignore[misc]
    """Reads arrays in one go, where its parent makes five numpy calls for each element."""

    data: Any

    def _get_field_parts(self, orig_offs: int, raw_type: int) -> Any:
        data: Any = np.asarray(self.data)  # a memmap's own indexing is many times slower
        self.data = data
        if raw_type != GGUFValueType.ARRAY:
            return super()._get_field_parts(orig_offs, raw_type)
        kind, count = struct.unpack_from("<IQ", data, orig_offs)
        start = orig_offs + 12
        parts: list[Any] = [data[orig_offs : orig_offs + 4], data[orig_offs + 4 : start]]
        types = [GGUFValueType.ARRAY, GGUFValueType(kind)] if count else [GGUFValueType.ARRAY]
        if kind == GGUFValueType.STRING:
            end = start
            for _ in range(count):
                (length,) = struct.unpack_from("<Q", data, end)
                parts += (data[end : end + 8], data[end + 8 : end + 8 + length])
                end += 8 + length
            return end - orig_offs, parts, list(range(3, 3 + 2 * count, 2)), types
        dtype = np.dtype(self.gguf_scalar_to_np[GGUFValueType(kind)])
        end = start + count * dtype.itemsize
        values = data[start:end].view(dtype)
        parts.extend(values[index : index + 1] for index in range(count))
        return end - orig_offs, parts, list(range(2, 2 + count)), types


@contextlib.contextmanager
def _quick_loading() -> Iterator[None]:
    """Within this, one file is parsed once, and quickly."""
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    parse = functools.lru_cache(_string_value)
    original = gguf_loader._gguf_parse_value
    for family in ("qwen2_moe", "qwen3_moe"):
        GGUF_CONFIG_MAPPING[family].update(_EXPERTS)

    def parse_value(value: Any, types: Any) -> Any:
        is_string = types == [GGUFValueType.STRING] or types == _STRINGS
        return parse(value.tobytes()) if is_string else original(value, types)

    try:
        with (
            replaced(gguf, "GGUFReader", functools.lru_cache(maxsize=1)(_QuickReader)),
            replaced(gguf, "get_tensor_name_map", functools.cache(gguf.get_tensor_name_map)),
            replaced(gguf_loader, "_gguf_parse_value", parse_value),
        ):
            yield
    finally:
        transformers_logging.set_verbosity(verbosity)


_STRINGS: Final = [GGUFValueType.ARRAY, GGUFValueType.STRING]


def _string_value(value: bytes) -> str:
    return value.decode()
