"""Answers on their way over the pipe, as whoever asked for them has them. Imports no torch.

Knows one request; nothing of models and their loading.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Generic, TypeGuard, TypeVar

from chatbot.engine.protocol import EngineEvent
from chatbot.engine.protocol.answer import AnswerEvent
from chatbot.engine.protocol.steering import AnswerNow, Cancel, Hold, SetSampling, SetSamplings
from chatbot.engine.protocol.variants import VariantEvent
from chatbot.errors import ContextError, ModelError, ModelFitError, WorkerError
from chatbot.settings import Sampling
from chatbot.terminal_text import clean_line
from chatbot.worker.client import Call, WorkerProcess
from chatbot.worker.protocol import Failed, Request

_EventT = TypeVar("_EventT")


class _Running(Generic[_EventT]):
    """A request on its way that is told of in events, and that can be called off."""

    def __init__(
        self,
        worker: WorkerProcess[EngineEvent],
        call: Call[EngineEvent],
        is_own: Callable[[EngineEvent], TypeGuard[_EventT]],
    ) -> None:
        self._worker = worker
        self._call = call
        self._is_own = is_own

    async def __aiter__(self) -> AsyncIterator[_EventT]:
        is_over = False
        try:
            async for event in self._call:
                is_over = event.is_last
                if isinstance(event, Failed):
                    raise error_of(event)
                if self._is_own(event):
                    yield event
        finally:
            if not is_over:  # nobody listens any more: do not let it run on
                self.cancel()

    def cancel(self) -> None:
        """End it at the next token."""
        self._tell(Cancel(target=self._call.request_id))

    def hold(self, num_steps: int | None = 0) -> None:
        """See ``Generation``."""
        self._tell(Hold(target=self._call.request_id, num_steps=num_steps))

    def answer_now(self) -> None:
        """See ``Generation``."""
        self._tell(AnswerNow(target=self._call.request_id))

    def _tell(self, request: Request) -> None:
        with contextlib.suppress(WorkerError):  # a dead engine has stopped already
            self._worker.send(request)


class RunningGeneration(_Running[AnswerEvent]):
    """See ``Generation``."""

    def __init__(self, worker: WorkerProcess[EngineEvent], call: Call[EngineEvent]) -> None:
        super().__init__(worker, call, _is_of_answer)

    def set_sampling(self, sampling: Sampling) -> None:
        """See ``Generation``."""
        self._tell(SetSampling(target=self._call.request_id, sampling=sampling))


class RunningVariants(_Running[VariantEvent]):
    """See ``VariantsGeneration``."""

    def __init__(self, worker: WorkerProcess[EngineEvent], call: Call[EngineEvent]) -> None:
        super().__init__(worker, call, _is_of_variants)

    def set_samplings(self, samplings: Sequence[Sampling]) -> None:
        """See ``VariantsGeneration``."""
        self._tell(SetSamplings(target=self._call.request_id, samplings=tuple(samplings)))


def _is_of_answer(event: EngineEvent) -> TypeGuard[AnswerEvent]:
    return isinstance(event, AnswerEvent)


def _is_of_variants(event: EngineEvent) -> TypeGuard[VariantEvent]:
    return isinstance(event, VariantEvent)


def error_of(failed: Failed) -> ModelError | ContextError:
    """The error that a worker reported; its text may quote files, so it is cleaned."""
    kinds: dict[str, type[ModelError | ContextError]] = {
        "ContextError": ContextError,
        "ModelFitError": ModelFitError,
    }
    return kinds.get(failed.kind, ModelError)(clean_line(failed.message, 500))
