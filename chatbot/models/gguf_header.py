"""Reads the head of a GGUF file and refuses what cannot be right, before anything trusts it.

A damaged or malicious file may claim sizes that would take all memory; here every claim is
held against the size of the file. Knows nothing of what the tensors mean.
"""

import hashlib
import math
import os
import struct
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from chatbot.errors import ModelError

MAX_TENSORS: Final = 200_000
MAX_FIELDS: Final = 100_000
MAX_NAME_BYTES: Final = 65_536
MAX_DIMENSIONS: Final = 8
MAX_ELEMENTS: Final = 3_000_000
"""In all arrays of the head together: each takes hundreds of bytes of memory once it is read.
A vocabulary of 262,144 tokens has as many scores and types, and some 600,000 merges."""

_MAGIC: Final = b"GGUF"
_VERSIONS: Final = (2, 3)
_STRING: Final = 8
_ARRAY: Final = 9
_SCALAR_BYTES: Final = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_UINT32: Final = 4

_SAMPLE_BYTES: Final = 65_536
_NUM_SAMPLES: Final = 64


class GgufHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What a GGUF file says about itself."""

    architecture: str
    num_values: int
    """Weights in all tensors together."""
    main_type: str
    """The format that most weights are in: ``Q4_1``, ``F16``."""
    num_unquantised: int = 0
    """Weights that are no matrices, or embed tokens."""
    has_head: bool = True
    """Whether the output head has weights of its own."""
    sizes: dict[str, int] = {}
    """Whole numbers that the architecture says of itself: ``block_count``, ``head_count``."""


class _DamagedError(Exception):
    """The file contradicts itself."""


def read_header(file: Path) -> GgufHeader:
    """The head of ``file``, checked against the file's size.

    Raises:
        ModelError: it is no GGUF file, is of an unknown version, is damaged or cut short.
        OSError: it cannot be read.
    """
    with file.open("rb") as stream:
        try:
            return _Reader(stream, file.stat().st_size).read()
        except (_DamagedError, struct.error, UnicodeDecodeError) as error:
            raise ModelError(
                f"{file.name} is not a usable GGUF file ({error}); download it again."
            ) from error


def content_key(file: Path) -> str:
    """A short key of the content: equal files have equal keys, changed ones differ.

    Of large files, evenly spaced samples are read, and the size counts.

    Raises:
        OSError: the file cannot be read.
    """
    size = file.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with file.open("rb") as stream:
        for index in range(_NUM_SAMPLES):
            stream.seek(max(0, size - _SAMPLE_BYTES) * index // (_NUM_SAMPLES - 1))
            digest.update(stream.read(_SAMPLE_BYTES))
    return digest.hexdigest()[:12]


class _Reader:
    """Walks through the head of one file."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream = stream
        self._size = size
        self._num_elements = 0

    def read(self) -> GgufHeader:
        if self._take(4) != _MAGIC:
            raise _DamagedError("it does not begin as one")
        version = self._number("<I")
        if version not in _VERSIONS:
            raise _DamagedError(f"version {version} is not known")
        num_tensors, num_fields = self._number("<Q"), self._number("<Q")
        if num_tensors > MAX_TENSORS or num_fields > MAX_FIELDS:
            raise _DamagedError("its header claims an absurd size")
        architecture, alignment = "", 32
        sizes: dict[str, int] = {}
        for _ in range(num_fields):
            key = self._string()
            kind = self._number("<I")
            if key == "general.architecture" and kind == _STRING:
                architecture = self._string()
            elif key == "general.alignment" and kind == _UINT32:
                alignment = self._number("<I") or 1
            elif kind == _UINT32:
                name = key.partition(".")[2]
                sizes[name] = self._number("<I")
                if name == "block_count" and sizes[name] > num_tensors:
                    raise _DamagedError("its header claims an absurd size")  # so many layers
            elif key == "tokenizer.ggml.tokens" and kind == _ARRAY:
                sizes["vocab_size"] = self._skip_array()
            else:
                self._skip_value(kind)
        if not architecture:
            raise _DamagedError("it names no architecture")
        header = self._read_tensors(num_tensors, architecture, alignment)
        return msgspec.structs.replace(header, sizes=sizes)

    def _read_tensors(self, count: int, architecture: str, alignment: int) -> GgufHeader:
        block_sizes, type_names = _tensor_types()
        values: Counter[str] = Counter()
        last_byte = num_kept = 0
        has_head = False
        for _ in range(count):
            name = self._string()
            num_dimensions = self._number("<I")
            if num_dimensions > MAX_DIMENSIONS:
                raise _DamagedError("its header claims an absurd size")
            num_values = math.prod(self._number("<Q") for _ in range(num_dimensions))
            if num_dimensions != 2 or name in ("token_embd.weight", "output.weight"):
                num_kept += num_values
            has_head = has_head or name == "output.weight"
            kind, offset = self._number("<I"), self._number("<Q")
            if kind not in block_sizes:
                raise _DamagedError(f"its tensors are in an unknown format, {kind}")
            values_per_block, bytes_per_block = block_sizes[kind]
            values[type_names[kind]] += num_values
            last_byte = max(last_byte, offset + num_values // values_per_block * bytes_per_block)
        if not values:
            raise _DamagedError("it holds no weights")
        start = -(-self._stream.tell() // alignment) * alignment
        if start + last_byte > self._size:
            raise _DamagedError(
                f"it is cut short: {start + last_byte - self._size:,} bytes are missing"
            )
        return GgufHeader(
            architecture=architecture,
            num_values=values.total(),
            main_type=values.most_common(1)[0][0],
            num_unquantised=num_kept,
            has_head=has_head,
        )

    def _take(self, count: int) -> bytes:
        self._check(count)
        return self._stream.read(count)

    def _skip(self, count: int) -> None:
        self._check(count)
        self._stream.seek(count, os.SEEK_CUR)

    def _check(self, count: int) -> None:
        if self._stream.tell() + count > self._size:
            raise _DamagedError("it is cut short, or its header claims an absurd size")

    def _number(self, form: str) -> int:
        return int(struct.unpack(form, self._take(struct.calcsize(form)))[0])

    def _string(self) -> str:
        length = self._number("<Q")
        if length > MAX_NAME_BYTES:
            raise _DamagedError("its header claims an absurd size")
        return self._take(length).decode()

    def _skip_value(self, kind: int) -> None:
        if kind in _SCALAR_BYTES:
            self._skip(_SCALAR_BYTES[kind])
        elif kind == _STRING:
            self._skip(self._number("<Q"))
        elif kind == _ARRAY:
            self._skip_array()
        else:
            raise _DamagedError(f"its header holds a value of unknown kind {kind}")

    def _skip_array(self) -> int:
        """Pass over an array; returns how many elements it has."""
        kind, count = self._number("<I"), self._number("<Q")
        self._num_elements += count
        if self._num_elements > MAX_ELEMENTS:
            raise _DamagedError("its header claims an absurd size")
        if kind in _SCALAR_BYTES:
            self._skip(count * _SCALAR_BYTES[kind])
        elif kind == _STRING:
            self._check(8 * count)
            for _ in range(count):
                self._skip(self._number("<Q"))
        else:
            raise _DamagedError(f"its header holds an array of unknown kind {kind}")
        return count


def _tensor_types() -> tuple[Mapping[int, tuple[int, int]], Mapping[int, str]]:
    """By format number: (weights, bytes) in a block, and the format's name."""
    from gguf.constants import GGML_QUANT_SIZES

    sizes: dict[Any, tuple[int, int]] = GGML_QUANT_SIZES
    return (
        {int(kind): block for kind, block in sizes.items()},
        {int(kind): str(kind.name) for kind in sizes},
    )
