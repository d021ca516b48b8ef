"""Having a model there, loading it, and putting adapters to it."""

from typing import ClassVar

from chatbot.engine.protocol.model_info import AdapterUse, ModelInfo
from chatbot.settings import Precision
from chatbot.worker.protocol import Event, Request


class Load(Request, frozen=True, kw_only=True):
    """Load a model in place of the present one. Answered by LoadProgress, then Loaded.

    A reference that cannot be resolved fails without touching the present model.
    """

    model: str
    precision: Precision = "auto"
    context_length: int = 0
    """The window that there must be room for, in tokens; 0 for what a long chat needs."""
    is_forced: bool = False
    """Load it even where it does not seem to fit; else that is refused with a ModelFitError."""
    allows_code: bool = False
    """Whether the user allowed this model to run program code of its own."""
    adapters: tuple[AdapterUse, ...] = ()
    """To begin with; the model is not loaded anew for others, see ``Adapt``."""


class Adapt(Request, frozen=True, kw_only=True):
    """Use these adapters from now on, and no others. Answered by Adapted.

    The model stays as it is; where one of the adapters cannot be used, none is changed.
    """

    adapters: tuple[AdapterUse, ...]


class Prepare(Request, frozen=True, kw_only=True):
    """Fetch, convert and check a model without loading it. Answered by LoadProgress, Prepared."""

    model: str
    allows_code: bool = False
    """See ``Load``."""


class LoadProgress(Event, frozen=True, kw_only=True):
    """How far a load is."""

    stage: str
    fraction: float | None = None


class Loaded(Event, frozen=True, kw_only=True):
    """The model is ready."""

    is_last: ClassVar[bool] = True

    info: ModelInfo


class Prepared(Event, frozen=True, kw_only=True):
    """The model is there and can be loaded."""

    is_last: ClassVar[bool] = True

    folder: str
    """Where its safetensors are."""


class Adapted(Event, frozen=True, kw_only=True):
    """The adapters are in use."""

    is_last: ClassVar[bool] = True

    info: ModelInfo
