"""The engine as the rest of the program sees it. Imports no torch.

``EngineClient`` starts the engine process when it is needed, starts another when it died,
and keeps one ``EngineStatus`` that the screens watch. Knows nothing of conversations.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import msgspec

from chatbot.engine.protocol import EngineEvent
from chatbot.engine.protocol.answer import AnswerEvent, Generate
from chatbot.engine.protocol.loading import (
    Adapt,
    Adapted,
    Load,
    Loaded,
    LoadProgress,
    Prepare,
    Prepared,
)
from chatbot.engine.protocol.model_info import AdapterUse, ModelInfo
from chatbot.engine.protocol.prompt import Count, Counted, Render, Rendered
from chatbot.engine.protocol.variants import GenerateVariants, SearchBeams, VariantEvent
from chatbot.engine.running import RunningGeneration, RunningVariants, error_of
from chatbot.errors import ModelError, WorkerError
from chatbot.models.references import resolve
from chatbot.settings import Precision, Sampling
from chatbot.terminal_text import clean_line
from chatbot.worker.client import WorkerProcess
from chatbot.worker.owner import WorkerOwner
from chatbot.worker.protocol import Failed, Request

ENGINE_COMMAND = (sys.executable, "-P", "-m", "chatbot.engine")
"""``-P``: or Python would import first of all what lies in the folder that the user is in."""

_NAME = "the engine"

_AnswerT = TypeVar("_AnswerT")


class EngineStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine is doing about its model."""

    state: Literal["stopped", "loading", "ready", "failed"] = "stopped"
    stage: str = ""
    """While loading: what is being done, in words."""
    fraction: float | None = None
    """While loading: share of the stage that is done; None while it is not known."""
    info: ModelInfo | None = None
    """When ready: what is loaded."""
    error: str = ""
    """When failed or stopped: why, in one sentence."""


class Generation(Protocol):
    """A running answer."""

    def __aiter__(self) -> AsyncIterator[AnswerEvent]:
        """Yield the answer; ends after Generated, or by raising a ChatbotError."""
        ...

    def cancel(self) -> None:
        """End it at the next token; ``Generated`` still follows."""
        ...

    def set_sampling(self, sampling: Sampling) -> None:
        """Go on with these settings from the next token; ``SamplingApplied`` says when."""
        ...

    def hold(self, num_steps: int | None = 0) -> None:
        """Hold it after so many more tokens; ``Held`` says when. None lets it go on."""
        ...

    def answer_now(self) -> None:
        """Have it think no longer, and answer; ``ThinkingCut`` says when."""
        ...


class VariantsGeneration(Protocol):
    """Several running answers to one prompt."""

    def __aiter__(self) -> AsyncIterator[VariantEvent]:
        """Yield them; ends after VariantsGenerated, or by raising a ChatbotError."""
        ...

    def cancel(self) -> None:
        """End all of them at the next token; their ends still follow."""
        ...

    def set_samplings(self, samplings: Sequence[Sampling]) -> None:
        """Go on with these settings, one for each answer, or one for a beam search, from the next
        token; ``VariantSamplingApplied`` of each says when."""
        ...

    def hold(self, num_steps: int | None = 0) -> None:
        """Hold all after so many more tokens of each; ``VariantsHeld`` says when. None lets them
        go on."""
        ...

    def answer_now(self) -> None:
        """Have those that think do so no longer; ``VariantThinkingCut`` of each says when."""
        ...


class Engine(Protocol):
    """What a conversation needs of an engine; a scripted one serves in tests."""

    status: EngineStatus
    """What it is doing about its model."""

    @property
    def adapters(self) -> tuple[AdapterUse, ...]:
        """The adapters that are in use, or will be once their model is loaded."""
        ...

    def on_status(self, watcher: Callable[[EngineStatus], None]) -> None:
        """Call ``watcher`` whenever the status changes."""
        ...

    def force(self, model: str) -> None:
        """Load this model from now on even where it does not seem to fit."""
        ...

    def reserve(self, context_length: int) -> None:
        """Reckon with a window of so many tokens at the next load; 0 for a long chat."""
        ...

    async def use_adapters(self, adapters: Sequence[AdapterUse]) -> ModelInfo:
        """Use these adapters, and no others, from the next answer on.

        Raises:
            ModelError: one of them cannot be used; nothing is changed then.
            WorkerError: the engine is not running.
        """
        ...

    async def ensure_loaded(self, model: str, precision: Precision) -> ModelInfo:
        """Make sure that this model is loaded.

        Raises:
            ModelError: it cannot be found or loaded.
            WorkerError: the engine process cannot be started or died.
        """
        ...

    async def count(self, request: Count) -> Counted:
        """Exact sizes of messages in tokens, for the loaded model."""
        ...

    async def render(self, request: Render) -> Rendered:
        """The very text that the loaded model would be given."""
        ...

    def generate(self, request: Generate) -> Generation:
        """Start an answer, or go on with the one that the messages end with."""
        ...

    def generate_several(self, request: GenerateVariants | SearchBeams) -> VariantsGeneration:
        """Start several answers to one prompt, which is read once."""
        ...


class LoadOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What goes for every load, whichever model is asked for."""

    context_length: int = 0
    """The window that there must be room for, in tokens; 0 for what a long chat needs."""
    forced: frozenset[str] = frozenset()
    """Models that are loaded even where they do not seem to fit."""
    allow_code: frozenset[str] = frozenset()
    """Models that may run program code of their own, by their places; see ``Reference``. By name
    alone, a folder of that name where the program is started would do, and any code that the
    model may have tomorrow."""


class EngineClient:
    """Owner of the engine process."""

    def __init__(self, log_file: Path, command: Sequence[str] = ENGINE_COMMAND) -> None:
        self.status = EngineStatus()
        self.options = LoadOptions()
        """For the next load; replaced as a whole."""
        self._adapters: tuple[AdapterUse, ...] = ()
        self._adapted_model = ""
        self._needs_adapters = False
        self._owner: WorkerOwner[EngineEvent] = WorkerOwner(
            command, EngineEvent, name=_NAME, log_file=log_file, on_end=self._ended
        )
        self._loaded: tuple[str, str] | None = None
        self._load_lock = asyncio.Lock()
        self._loads: set[asyncio.Task[ModelInfo]] = set()
        self._watchers: list[Callable[[EngineStatus], None]] = []

    @property
    def pid(self) -> int | None:
        """The engine's process number, while it runs."""
        return self._owner.pid

    def on_status(self, watcher: Callable[[EngineStatus], None]) -> None:
        """Call ``watcher`` whenever the status changes, from the event loop."""
        self._watchers.append(watcher)

    async def ensure_loaded(self, model: str, precision: Precision) -> ModelInfo:
        """See ``Engine``. Loads wait for one another; the last one stays.

        A load goes on when whoever waits for it goes away, and is there for the next one.
        """
        load = asyncio.create_task(self._ensure_loaded(model, precision))
        self._loads.add(load)
        load.add_done_callback(self._forget_load)
        return await asyncio.shield(load)

    def _forget_load(self, load: asyncio.Task[ModelInfo]) -> None:
        self._loads.discard(load)
        if not load.cancelled():
            load.exception()  # was told to whoever waited; asyncio must not complain of it

    async def _ensure_loaded(self, model: str, precision: Precision) -> ModelInfo:
        async with self._load_lock:
            info = self.status.info
            if self._loaded == (model, precision) and self.pid and info:
                return info
            self._loaded = None
            self._report(EngineStatus(state="loading", stage="Starting the engine"))
            try:
                resolve(model)  # what stands for nothing is not worth a process
                info = await self._load(await self._owner.start(), model, precision)
            except (ModelError, WorkerError) as error:
                self._report(EngineStatus(state="failed", error=str(error)))
                raise
            self._loaded = (model, precision)
            self._report(EngineStatus(state="ready", info=info))
            return info

    def force(self, model: str) -> None:
        """Load this model from now on even where it does not seem to fit."""
        forced = self.options.forced | {model}
        self.options = msgspec.structs.replace(self.options, forced=forced)

    def reserve(self, context_length: int) -> None:
        """Reckon with a window of so many tokens at the next load; 0 for a long chat."""
        self.options = msgspec.structs.replace(self.options, context_length=context_length)

    @property
    def adapters(self) -> tuple[AdapterUse, ...]:
        """The adapters that are in use, or will be once their model is loaded."""
        return self._adapters

    def plan_adapters(
        self, adapters: Sequence[AdapterUse], model: str, *, are_needed: bool = False
    ) -> None:
        """Use these adapters as soon as ``model`` is loaded; another model goes without them.

        Args:
            adapters: those to use.
            model: the one that they are for.
            are_needed: each load fails where they do; else the next one goes without them.
        """
        self._adapters, self._adapted_model = tuple(adapters), model
        self._needs_adapters = are_needed
        self._loaded = None

    async def use_adapters(self, adapters: Sequence[AdapterUse]) -> ModelInfo:
        """Use these adapters, and no others, from the next answer on.

        The model stays loaded; what it has read is read again.

        Raises:
            ModelError: one of them cannot be used; nothing is changed then.
            WorkerError: the engine is not running.
        """
        async with self._load_lock:
            info = self.status.info
            if info is None:
                raise ModelError("No model is loaded yet; try again when it is.")
            info = (await self._ask(Adapt(adapters=tuple(adapters)), Adapted)).info
            self._adapters, self._adapted_model = tuple(adapters), info.name
            self._report(EngineStatus(state="ready", info=info))
            return info

    async def prepare(
        self, model: str, on_progress: Callable[[LoadProgress], None], *, allows_code: bool = False
    ) -> Path:
        """Fetch, convert and check a model without loading it; returns its folder.

        Raises:
            ModelError: it cannot be used.
            WorkerError: the engine process cannot be started or died.
        """
        worker = await self._owner.start()
        async for event in worker.call(Prepare(model=model, allows_code=allows_code)):
            match event:
                case LoadProgress():
                    on_progress(event)
                case Prepared(folder=folder):
                    return Path(folder)
                case Failed():
                    raise error_of(event)
        raise WorkerError("The engine ended a request without an answer; try again.")

    async def count(self, request: Count) -> Counted:
        """See ``Engine``."""
        return await self._ask(request, Counted)

    async def render(self, request: Render) -> Rendered:
        """See ``Engine``."""
        return await self._ask(request, Rendered)

    def generate(self, request: Generate) -> Generation:
        """See ``Engine``."""
        worker = self._running()
        return RunningGeneration(worker, worker.call(request))

    def generate_several(self, request: GenerateVariants | SearchBeams) -> VariantsGeneration:
        """See ``Engine``."""
        worker = self._running()
        return RunningVariants(worker, worker.call(request))

    async def close(self) -> None:
        """End the engine process; no other is started after it."""
        await self._owner.close()
        await asyncio.gather(*self._loads, return_exceptions=True)

    def _running(self) -> WorkerProcess[EngineEvent]:
        if self._owner.worker is None:
            raise WorkerError("The engine is not running; try again, and it is started.")
        return self._owner.worker

    def _ended(self, error: WorkerError) -> None:
        """Tell the screens that the process died."""
        self._loaded = None
        self._report(EngineStatus(state="stopped", error=str(error)))

    async def _load(
        self, worker: WorkerProcess[EngineEvent], model: str, precision: Precision
    ) -> ModelInfo:
        if model != self._adapted_model:
            self._adapters, self._adapted_model = (), model
        request = Load(
            model=model,
            precision=precision,
            context_length=self.options.context_length,
            is_forced=model in self.options.forced,
            allows_code=self._allows_code(model),
            adapters=self._adapters,
        )
        async for event in worker.call(request):
            match event:
                case LoadProgress(stage=stage, fraction=fraction):
                    stage = clean_line(stage)
                    self._report(EngineStatus(state="loading", stage=stage, fraction=fraction))
                case Loaded(info=info):
                    return info
                case Failed():
                    if not self._needs_adapters:
                        self._adapters = ()  # perhaps it was they: the next try goes without them
                    raise error_of(event)
        raise WorkerError("The engine ended a load without a result; try again.")

    def _allows_code(self, model: str) -> bool:
        with contextlib.suppress(ModelError):
            return bool(self.options.allow_code) and resolve(model).place in self.options.allow_code
        return False  # the engine says what is wrong with it

    async def _ask(self, request: Request, answer_type: type[_AnswerT]) -> _AnswerT:
        async for event in self._running().call(request):
            if isinstance(event, Failed):
                raise error_of(event)
            if isinstance(event, answer_type):
                return event
        raise WorkerError("The engine ended a request without an answer; try again.")

    def _report(self, status: EngineStatus) -> None:
        self.status = status
        for watcher in self._watchers:
            watcher(status)
