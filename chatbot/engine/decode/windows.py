"""How far back the attention of a model's layers looks.

Knows transformers' models and their configurations; nothing of how attention is computed.
"""

import inspect
from typing import Any, Final

ALIKE: Final = "all"
"""The kind of all layers, where a family does not tell them apart."""

_KINDS: Final = (ALIKE, "full_attention", "sliding_attention")


def kinds_of_layers(model: Any) -> list[str]:
    """What transformers calls the attention of each layer, or ``ALIKE``."""
    config = model.config.get_text_config(decoder=True)
    kinds = getattr(config, "layer_types", None) if _tells_kinds(model, config) else None
    return list(kinds or [ALIKE] * config.num_hidden_layers)


def window_of(model: Any, kind: str) -> int | None:
    """How many tokens, itself among them, a token sees in layers of a kind; None: all before it."""
    window: int | None = getattr(model.config.get_text_config(decoder=True), "sliding_window", None)
    if kind == ALIKE:
        knows_windows = hasattr(inspect.getmodule(type(model)), "create_sliding_window_causal_mask")
        return window if knows_windows else None
    return window if kind == "sliding_attention" else None


def kind_refusal(model: Any) -> str:
    """Which kind of layers is none that we can compute, in a few words; empty for none."""
    unknown = set(kinds_of_layers(model)) - {*_KINDS}
    return f"some of its layers are of the kind {min(unknown)}" if unknown else ""


def _tells_kinds(model: Any, config: Any) -> bool:
    """Whether the family does: a configuration may speak of what its family knows nothing of."""
    is_of_transformers = type(model).__module__.startswith("transformers.")
    return not is_of_transformers or "layer_types" in type(config).__dataclass_fields__
