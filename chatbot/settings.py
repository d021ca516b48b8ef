"""What the user can set: every setting described once, in ``SPECS``.

The sidebar, ``/set``, the command line and ``config.toml`` are all generated from or
checked against that one table. Knows no file, no widget and no model.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from chatbot.errors import SettingError

Precision = Literal["auto", "fp32", "bf16", "fp16", "8-bit", "4-bit"]
"""Number formats that weights can be loaded in."""

PRECISIONS: Final[tuple[Precision, ...]] = ("auto", "fp32", "bf16", "fp16", "8-bit", "4-bit")

DEFAULT_MODEL: Final = "smollm2-135m"
DEFAULT_SYSTEM_PROMPT: Final = "You are a helpful assistant. Give short, correct answers."

MAX_SEED: Final = 2**32 - 1

LEAST_TEMPERATURE: Final = 1e-6
"""Below it the likeliest token is certain, and logits over the temperature may be infinite."""


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """How the next token is chosen. May change between any two tokens of an answer."""

    temperature: float = 0.3
    """Divides the logits; 0 always takes the most probable token, see ``is_greedy``."""
    top_p: float = 0.9
    """Keeps the smallest set of tokens whose probabilities reach this sum; 1 is off."""
    top_k: int = 50
    """Keeps this many of the most probable tokens; 0 is off."""
    min_p: float = 0.0
    """Drops tokens less probable than this share of the most probable one; 0 is off."""
    repetition_penalty: float = 1.0
    """Divides (or multiplies, when negative) the logits of tokens already in the context."""
    no_repeat_ngram_size: int = 0
    """Forbids any run of this many tokens from occurring twice; 0 is off."""
    max_tokens: int = 1024
    """Longest answer, in tokens."""
    seed: int | None = None
    """Start of the random numbers; the same seed gives the same answer. None is random."""

    @property
    def is_greedy(self) -> bool:
        """Whether the most probable token is always taken, and nothing is drawn."""
        return self.temperature < LEAST_TEMPERATURE


DEFAULT_EMBEDDING_MODEL: Final = "all-minilm-l6-v2"

Grounding = Literal["auto", "strict", "open"]
"""What happens when nothing in the knowledge folders is relevant. ``strict``: the program says
so, and the model is not asked. ``open``: the model answers by itself, and that is shown.
``auto``: strict where the user named a folder, open where there is only the manual."""

Thinking = Literal["auto", "on", "off"]
"""Whether a reasoning model thinks before it answers; ``auto``: as it does by itself."""

MANUAL: Final = "manual"
"""Stands, among the knowledge folders, for the one that comes with the program."""


class KnowledgeFolder(msgspec.Struct, frozen=True):
    """A folder that is searched for sources."""

    path: str
    """As the user wrote it, or ``MANUAL``."""
    is_on: bool = True


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a user can set, as one value that is replaced and never changed in place."""

    sampling: Sampling = msgspec.field(default_factory=Sampling)
    model: str = DEFAULT_MODEL
    """A catalogue name, a hub id, a local folder or a .gguf file."""
    precision: Precision = "auto"
    system_prompt: str = DEFAULT_SYSTEM_PROMPT
    thinking: Thinking = "auto"
    max_history: int = 0
    """Most earlier exchanges given to the model; 0 means as many as fit."""
    context_length: int = 0
    """Context window in tokens; 0 means as long as the model was made for."""
    num_sources: int = 4
    """Most passages given to the model with a question; 0 searches nothing."""
    relevance_threshold: float = 0.3
    """Passages less relevant than this, 0 to 1, are not given."""
    grounding: Grounding = "auto"
    embedding_model: str = DEFAULT_EMBEDDING_MODEL
    """A name of the catalogue, a hub id or a folder, for sentence-transformers."""
    reranker: str = ""
    """A cross-encoder by hub id or folder; empty for none."""
    folders: tuple[KnowledgeFolder, ...] = (KnowledgeFolder(MANUAL),)
    theme: str = "night"

    @property
    def thinks(self) -> bool | None:
        """What the model is told about thinking; None: nothing."""
        return None if self.thinking == "auto" else self.thinking == "on"


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """One setting: its range, its step and what it does, in words for the user."""

    name: str
    label: str
    kind: Literal["float", "int", "seed", "choice", "text"]
    help: str
    minimum: float = 0
    maximum: float = 0
    step: float = 0
    choices: tuple[str, ...] = ()
    is_sampling: bool = False
    """Acts from the next token of a running answer."""

    @property
    def allowed(self) -> str:
        """The allowed values, in words: ``a number from 0 to 2``."""
        match self.kind:
            case "float":
                return f"a number from {self.minimum:g} to {self.maximum:g}"
            case "int":
                return f"a whole number from {self.minimum:.0f} to {self.maximum:.0f}"
            case "seed":
                return f"a whole number from 0 to {MAX_SEED}, or 'random'"
            case "choice":
                return "one of " + ", ".join(self.choices)
            case "text":
                return "any text"

    def parse(self, text: str) -> float | int | str | None:
        """The value that ``text`` stands for.

        Raises:
            SettingError: it is not of the kind or outside the range; the text says which
                values are allowed.
        """
        text = text.strip() if self.kind != "text" else text
        refusal = SettingError(f"{self.label} must be {self.allowed}.")
        match self.kind:
            case "text":
                return text
            case "choice":
                if text not in self.choices:
                    raise refusal
                return text
            case "seed" if text.lower() in ("", "random", "none"):
                return None
        try:
            value = float(text) if self.kind == "float" else int(text.replace("_", ""))
        except ValueError:
            raise refusal from None
        maximum = MAX_SEED if self.kind == "seed" else self.maximum
        if not self.minimum <= value <= maximum:  # NaN fails this too
            raise refusal
        return value

    def format(self, value: Any) -> str:
        """``value`` as the user would type it."""
        if value is None:
            return "random"
        if self.kind == "float":
            short = f"{value:g}"
            return short if float(short) == value else repr(value)
        return str(value)


SPECS: Final[tuple[Spec, ...]] = (
    Spec(
        name="temperature",
        label="Temperature",
        kind="float",
        maximum=2,
        step=0.1,
        is_sampling=True,
        help="0 always takes the likeliest token; higher is more varied, above 1 often wild.",
    ),
    Spec(
        name="top_p",
        label="Top-p",
        kind="float",
        minimum=0.01,
        maximum=1,
        step=0.05,
        is_sampling=True,
        help="Keeps the fewest likeliest tokens whose probabilities add up to this; 1 is off.",
    ),
    Spec(
        name="top_k",
        label="Top-k",
        kind="int",
        maximum=1000,
        step=10,
        is_sampling=True,
        help="Keeps only this many of the likeliest tokens; 0 is off.",
    ),
    Spec(
        name="min_p",
        label="Min-p",
        kind="float",
        maximum=1,
        step=0.05,
        is_sampling=True,
        help="Drops tokens less likely than this share of the likeliest one; 0 is off.",
    ),
    Spec(
        name="repetition_penalty",
        label="Repetition penalty",
        kind="float",
        minimum=0.5,
        maximum=2,
        step=0.05,
        is_sampling=True,
        help="Makes tokens that occurred before less likely; 1 is off.",
    ),
    Spec(
        name="no_repeat_ngram_size",
        label="No-repeat n-gram",
        kind="int",
        maximum=20,
        step=1,
        is_sampling=True,
        help="Forbids any run of this many tokens from occurring twice; 0 is off.",
    ),
    Spec(
        name="max_tokens",
        label="Max new tokens",
        kind="int",
        minimum=1,
        maximum=131072,
        step=128,
        is_sampling=True,
        help="Longest answer, in tokens.",
    ),
    Spec(
        name="seed",
        label="Seed",
        kind="seed",
        step=1,
        is_sampling=True,
        help="The same number gives the same answer again; 'random' draws afresh each time.",
    ),
    Spec(
        name="system_prompt",
        label="System prompt",
        kind="text",
        help="Instructions that the model is given ahead of the conversation.",
    ),
    Spec(
        name="model",
        label="Model",
        kind="text",
        help="A catalogue name, a hub id (org/name), a folder, or a .gguf file.",
    ),
    Spec(
        name="precision",
        label="Precision",
        kind="choice",
        choices=PRECISIONS,
        help="Number format of the weights; auto picks the best for this machine.",
    ),
    Spec(
        name="thinking",
        label="Thinking",
        kind="choice",
        choices=("auto", "on", "off"),
        help="Whether the model thinks before its next answers; auto is as it does by itself.",
    ),
    Spec(
        name="max_history",
        label="Max history",
        kind="int",
        maximum=10_000,
        step=1,
        help="Most earlier exchanges given to the model; 0 is as many as fit.",
    ),
    Spec(
        name="context_length",
        label="Context length",
        kind="int",
        maximum=1_048_576,
        step=256,
        help="Context window in tokens; 0 is as long as the model was made for.",
    ),
    Spec(
        name="num_sources",
        label="Sources",
        kind="int",
        maximum=20,
        step=1,
        help="Most passages of your folders that come with a question; 0 searches nothing.",
    ),
    Spec(
        name="relevance_threshold",
        label="Relevance threshold",
        kind="float",
        maximum=1,
        step=0.05,
        help="Passages less relevant than this are not used; 0 uses whatever is found.",
    ),
    Spec(
        name="grounding",
        label="When nothing is found",
        kind="choice",
        choices=("auto", "strict", "open"),
        help="strict says so, open lets the model answer alone, auto is strict for your folders.",
    ),
    Spec(
        name="embedding_model",
        label="Embedding model",
        kind="text",
        help="Finds passages by meaning: all-minilm-l6-v2, a hub id, or a folder.",
    ),
    Spec(
        name="reranker",
        label="Reranker",
        kind="text",
        help="A cross-encoder by hub id or folder that sorts what was found; empty for none.",
    ),
)

_BY_NAME: Final = {spec.name: spec for spec in SPECS}


def find_spec(name: str) -> Spec:
    """The setting called ``name``; ``-`` and case do not matter.

    Raises:
        SettingError: there is none of that name.
    """
    spec = _BY_NAME.get(name.lower().replace("-", "_"))
    if spec is None:
        raise SettingError(f"There is no setting {name[:80]!r}; /set lists them.")
    return spec


def get_value(settings: Settings, name: str) -> Any:
    """The present value of the setting called ``name``."""
    holder = settings.sampling if _BY_NAME[name].is_sampling else settings
    return getattr(holder, name)


def with_value(settings: Settings, name: str, text: str) -> Settings:
    """``settings`` with the setting called ``name`` set to what ``text`` stands for.

    Raises:
        SettingError: the name is unknown or the value not allowed.
    """
    spec = find_spec(name)
    value = spec.parse(text)
    if spec.is_sampling:
        sampling = msgspec.structs.replace(settings.sampling, **{spec.name: value})
        return msgspec.structs.replace(settings, sampling=sampling)
    return msgspec.structs.replace(settings, **{spec.name: value})


def with_values(settings: Settings, texts: Mapping[str, str]) -> Settings:
    """``settings`` with each setting named in ``texts`` set to what its text stands for.

    Raises:
        SettingError: a name is unknown or a value not allowed.
    """
    for name, text in texts.items():
        settings = with_value(settings, name, text)
    return settings
