"""What can be said of a model without loading it: sizes, licence, what it can do.

Reads the small files of a folder, the heads of its weights, or the head of a GGUF file. Runs
nothing of what it reads.
"""

import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from chatbot import paths
from chatbot.errors import ModelError
from chatbot.models.catalogue import CatalogueEntry
from chatbot.models.counting import OWN_STEP, shape_of
from chatbot.models.gguf_header import GgufHeader, read_header
from chatbot.models.hub_cache import cached_folder, size_of
from chatbot.models.references import Kind, Reference
from chatbot.models.safetensors_header import HALVES, count_tensors
from chatbot.models.shape import ModelShape, TextConfig
from chatbot.terminal_text import clean_line

MAX_SMALL_BYTES: Final = 16 * 2**20
"""Larger than any configuration or template that is one."""

_LICENCE: Final = re.compile(r"^license:[ \t]*([^\n]+)$", re.MULTILINE)
_VISION_PARTS: Final = ("vision_config", "vision_tower", "vision_model")


class ModelFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One model, as lists and screens show it."""

    reference: str
    """What it is loaded by."""
    kind: Kind
    is_here: bool
    """Whether all of it is on this machine."""
    num_bytes: int = 0
    """On the disk."""
    shape: ModelShape | None = None
    """None where its configuration is not here, or not readable."""
    licence: str = ""
    description: str = ""
    calls_tools: bool = False
    sees_images: bool = False
    thinks: bool = False
    is_gated: bool = False
    has_code: bool = False
    """Whether its configuration names program code of its own."""
    format: str = ""
    """What its weights are in: ``safetensors``, ``Q4_K``."""
    problem: str = ""
    """Why it cannot be used, in one sentence."""


def facts_of(reference: Reference) -> ModelFacts:
    """What is known of the model that a reference stands for; asks no network."""
    entry = reference.entry
    if reference.kind == "gguf" and reference.path is not None:
        return facts_of_gguf(reference.text, reference.path)
    folder = reference.path
    if reference.kind == "hub":
        folder = cached_folder(reference.hub_id)
    elif reference.kind == "package" and entry is not None:
        return _facts_of_package(reference, entry)
    if folder is None:
        return facts_of_entry(reference.text, entry) if entry else _unknown(reference)
    facts = facts_of_folder(reference.text, folder, reference.kind)
    return _with_entry(facts, entry)


def facts_of_entry(reference: str, entry: CatalogueEntry) -> ModelFacts:
    """A model of the catalogue that is not here."""
    return ModelFacts(
        reference=reference,
        kind="package" if entry.weights else "hub",
        is_here=False,
        shape=entry.shape,
        licence=entry.licence,
        description=entry.description,
        calls_tools=entry.calls_tools,
        sees_images=entry.sees_images,
        thinks=entry.thinks,
        is_gated=entry.is_gated,
    )


def facts_of_folder(reference: str, folder: Path, kind: Kind = "folder") -> ModelFacts:
    """A folder with a configuration and safetensors; what is wrong with it is said in it."""
    weights = sorted(folder.glob("*.safetensors"))
    shape, problem, content = None, "", dict[str, Any]()
    try:
        content = read_small(folder / "config.json")
        shape = shape_of(content)
        if weights:
            shape = counted_shape(shape, weights, is_tied=_is_tied(content))
        else:
            problem = "It has no .safetensors file."
    except ModelError as error:
        problem = str(error)
    except OSError as error:
        problem = f"It cannot be read: {error.strerror or error}."
    template = _template_of(folder)
    return ModelFacts(
        reference=reference,
        kind=kind,
        is_here=not problem,
        num_bytes=_weights_size(folder),
        shape=shape,
        licence=_licence_of(folder),
        calls_tools="tools" in template,
        sees_images=any(name in content for name in _VISION_PARTS),
        thinks="<think>" in template or "enable_thinking" in template,
        has_code="auto_map" in content,
        format="safetensors" if weights else "",
        problem=problem,
    )


def facts_of_gguf(reference: str, file: Path) -> ModelFacts:
    """A GGUF file; what is wrong with it is said in it."""
    facts = ModelFacts(reference=reference, kind="gguf", is_here=True)
    try:
        status = file.stat()
        header = _known_header(file, status.st_size, status.st_mtime_ns)
        return msgspec.structs.replace(
            facts, num_bytes=status.st_size, shape=_gguf_shape(header), format=header.main_type
        )
    except ModelError as error:
        return msgspec.structs.replace(facts, is_here=False, problem=str(error))
    except OSError as error:
        problem = f"It cannot be read: {error.strerror or error}."
        return msgspec.structs.replace(facts, is_here=False, problem=problem)


@functools.lru_cache(maxsize=256)
def _known_header(file: Path, _size: int, _changed: int) -> GgufHeader:
    """A head that was read once: going through a vocabulary takes a tenth of a second."""
    return read_header(file)


def shape_of_folder(folder: Path) -> ModelShape | None:
    """The sizes of a model in a folder; None where its configuration does not tell them."""
    try:
        content = read_small(folder / "config.json")
        return counted_shape(
            shape_of(content), sorted(folder.glob("*.safetensors")), is_tied=_is_tied(content)
        )
    except (ModelError, OSError):
        return None


def counted_shape(shape: ModelShape, weights: list[Path], *, is_tied: bool) -> ModelShape:
    """``shape`` with its parameters counted in the files.

    Raises:
        ModelError: a file is damaged.
        OSError: a file cannot be read.
    """
    count = count_tensors(weights)
    twice = count.num_head if is_tied else 0
    return msgspec.structs.replace(
        shape,
        num_parameters=count.num_parameters - twice,
        num_unquantised=count.num_unquantised - twice,
        in_16_bits=count.dtype in HALVES,
        is_exact=True,
    )


def read_small(file: Path) -> dict[str, Any]:
    """A JSON object that is no larger than it may be.

    Raises:
        ModelError: it is missing, too large, or no JSON object.
    """
    try:
        if file.stat().st_size > MAX_SMALL_BYTES:
            raise ModelError(f"{file.name} is damaged: it is absurdly large.")
        content = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise ModelError(f"It has no {file.name}.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{file.name} is damaged and cannot be read.") from error
    if not isinstance(content, dict):
        raise ModelError(f"{file.name} is damaged: it is not what it should be.")
    return content


def _facts_of_package(reference: Reference, entry: CatalogueEntry) -> ModelFacts:
    file = entry.weights.find() if entry.weights else None
    facts = facts_of_entry(reference.text, entry)
    if file is None:
        return facts
    converted = sum(size_of(folder) for folder in converted_folders(entry.name))
    return msgspec.structs.replace(
        facts,
        is_here=True,
        num_bytes=file.stat().st_size + converted,
        shape=msgspec.structs.replace(entry.shape, in_16_bits=True),
        format="safetensors",
    )


def converted_folders(name: str) -> list[Path]:
    """The folders that a GGUF file of this name was unpacked into, old ones included."""
    pattern = f"{re.sub(r'[^A-Za-z0-9._-]+', '-', name).strip('.-')[:80] or 'model'}-*-v*"
    return sorted(path for path in (paths.cache_dir() / "models").glob(pattern) if path.is_dir())


def _with_entry(facts: ModelFacts, entry: CatalogueEntry | None) -> ModelFacts:
    """What the folder does not say, by the catalogue."""
    if entry is None:
        return facts
    return msgspec.structs.replace(
        facts,
        licence=entry.licence,
        description=entry.description,
        is_gated=entry.is_gated,
        calls_tools=facts.calls_tools or entry.calls_tools,
        thinks=facts.thinks or entry.thinks,
    )


def _unknown(reference: Reference) -> ModelFacts:
    return ModelFacts(reference=reference.text, kind=reference.kind, is_here=False)


def _is_tied(content: Mapping[str, Any]) -> bool:
    return TextConfig(content).is_tied


def _gguf_shape(header: GgufHeader) -> ModelShape | None:
    sizes = header.sizes
    hidden, heads = sizes.get("embedding_length", 0), sizes.get("attention.head_count", 0)
    if not hidden or not heads:
        return None
    return ModelShape(
        num_parameters=header.num_values,
        num_unquantised=header.num_unquantised,
        num_layers=sizes.get("block_count", 0),
        num_kv_heads=sizes.get("attention.head_count_kv", heads),
        head_dim=sizes.get("attention.key_length", hidden // heads),
        hidden_size=hidden,
        vocab_size=sizes.get("vocab_size", 0),
        context_length=sizes.get("context_length", 0),
        is_tied=not header.has_head,
        in_16_bits=header.main_type != "F32",
        has_own_step=header.architecture in OWN_STEP,
    )


def _weights_size(folder: Path) -> int:
    """Of a model's own files; links of the hub's cache count as what they lead to."""
    total = 0
    for path in folder.iterdir():
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue
    return total


def _template_of(folder: Path) -> str:
    """The text of a folder's chat template, to be searched and never run; empty for none."""
    file = folder / "chat_template.jinja"
    try:
        if file.is_file() and file.stat().st_size <= MAX_SMALL_BYTES:
            return file.read_text("utf-8", "replace")
        return str(read_small(folder / "tokenizer_config.json").get("chat_template") or "")
    except (ModelError, OSError):
        return ""


def _licence_of(folder: Path) -> str:
    """What the head of the model card names."""
    try:
        head = (folder / "README.md").read_text("utf-8", "replace")[:20_000]
    except OSError:
        return ""
    front = head.split("\n---", 1)[0] if head.startswith("---") else ""
    match = _LICENCE.search(front)
    return clean_line(match[1].strip("'\" "), 40) if match else ""
