"""The models that the program knows by a short name.

They stand in ``catalogue.toml`` beside this file, one table each. Knows nothing of what is on
this machine.
"""

import functools
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from chatbot.models.counting import shape_of
from chatbot.models.shape import ModelShape
from chatbot.weights import EMBEDDED, EmbeddedWeights

_FILE: Final = Path(__file__).parent / "catalogue.toml"


class CatalogueEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model of the catalogue."""

    name: str
    """What it is called here: ``qwen3-0.6b``."""
    hub_id: str
    description: str
    licence: str
    chat_format: str
    """How a conversation is written for it; see ``chatbot.engine.chat_formats``. Used only
    where its tokenizer brings no template."""
    config: dict[str, Any]
    """The sizes of its ``config.json``."""
    calls_tools: bool = False
    sees_images: bool = False
    thinks: bool = False
    is_gated: bool = False
    """Whether its page asks for an account and for its terms to be accepted."""
    weights_package: str = ""
    """The Python package that its weights come in; empty: they come from the hub."""

    @property
    def weights(self) -> EmbeddedWeights | None:
        """The weights that come as a Python package, if they do."""
        found = (weights for weights in EMBEDDED if weights.package == self.weights_package)
        return next(found, None)

    @property
    def shape(self) -> ModelShape:
        """Its sizes."""
        return shape_of(self.config)


class _Catalogue(msgspec.Struct, frozen=True):
    model: list[CatalogueEntry]


@functools.cache
def catalogue() -> Mapping[str, CatalogueEntry]:
    """All entries by name, in the order of the file."""
    content = msgspec.convert(tomllib.loads(_FILE.read_text("utf-8")), _Catalogue)
    return {entry.name: entry for entry in content.model}


def find_entry(reference: str) -> CatalogueEntry | None:
    """The entry that is meant by its name or by its hub id, whatever the case; else None."""
    wanted = reference.strip().lower()
    entries = catalogue()
    if wanted in entries:
        return entries[wanted]
    return next((e for e in entries.values() if e.hub_id.lower() == wanted), None)
