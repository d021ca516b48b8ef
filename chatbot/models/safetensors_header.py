"""Reads the head of safetensors files and counts what is in them, without loading anything.

Every claim is held against the size of the file, so that a damaged or hostile one cannot
take memory. Knows nothing of what the tensors are for beyond their names.
"""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from chatbot.errors import ModelError

MAX_HEADER_BYTES: Final = 100 * 2**20
"""As the format itself allows."""

HALVES: Final = ("BF16", "F16")
"""Formats of 16 bits, as the head names them."""

_KEPT: Final = re.compile(
    r"embed|\bwte\b|\bwpe\b|lm_head|word_embeddings|\.gate\.weight$|\.router\."
)
"""Names of matrices that quantisation leaves alone."""
_EXPERTS: Final = re.compile(r"\.experts\.|_moe\.(in|out)put_linear\.")
"""Names of what may be the matrices of several experts."""
_BUFFER: Final = re.compile(r"\.attn\.(bias|masked_bias)$|attention\.(bias|masked_bias)$|inv_freq$")
"""Names of tensors that old files hold and that are no weights."""
_HEAD: Final = re.compile(r"(^|\.)(lm_head|embed_out)\.weight$")


class TensorCount(msgspec.Struct, frozen=True, kw_only=True):
    """What the files of one model hold."""

    num_parameters: int
    num_unquantised: int
    """See ``ModelShape``."""
    num_head: int = 0
    """Of them, those of the output head; it is there twice where it is tied."""
    dtype: str = ""
    """Of all of them, as the format writes it (``BF16``); empty where they differ."""


def read_tensors(file: Path) -> Mapping[str, Any]:
    """Name and entry (``dtype``, ``shape``, ``data_offsets``) of each tensor in ``file``.

    Raises:
        ModelError: it is no safetensors file, is damaged or cut short.
        OSError: it cannot be read.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > min(size - 8, MAX_HEADER_BYTES):
            raise _damaged(file, "it is cut short, or its header claims an absurd size")
        raw = stream.read(length)
    try:
        header = json.loads(raw)
        header.pop("__metadata__", None)
        last = max((entry["data_offsets"][1] for entry in header.values()), default=0)
        for entry in header.values():
            numbers = (*entry["shape"], *entry["data_offsets"])
            if any(not isinstance(number, int) or number < 0 for number in numbers):
                raise ValueError("a negative size")
            if not isinstance(entry["dtype"], str):
                raise ValueError("a format without a name")
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise _damaged(file, "its header is not readable") from error
    if 8 + length + last > size:
        raise _damaged(file, f"it is cut short: {8 + length + last - size:,} bytes are missing")
    return dict(header)


def count_tensors(files: list[Path]) -> TensorCount:
    """Count the parameters in the files of one model.

    Raises:
        ModelError: one of them is damaged.
        OSError: one of them cannot be read.
    """
    total = unquantised = head = 0
    dtypes = set()
    for file in files:
        for name, entry in read_tensors(file).items():
            if _BUFFER.search(name):
                continue
            size = math.prod(entry["shape"])
            total += size
            dtypes.add(entry["dtype"])
            num_axes = len(entry["shape"])
            is_matrix = num_axes == 2 or (num_axes == 3 and _EXPERTS.search(name))
            if not is_matrix or _KEPT.search(name):
                unquantised += size
            if _HEAD.search(name):
                head += size
    return TensorCount(
        num_parameters=total,
        num_unquantised=unquantised,
        num_head=head,
        dtype=dtypes.pop() if len(dtypes) == 1 else "",
    )


def _damaged(file: Path, reason: str) -> ModelError:
    return ModelError(f"{file.name} is not a usable safetensors file: {reason}; fetch it again.")
