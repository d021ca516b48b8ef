"""Carries out requests, one after the other. Everything that needs torch starts here."""

import os
import sys
import traceback

from chatbot.engine.answer import answer
from chatbot.engine.failures import as_chatbot_error, is_device_lost
from chatbot.engine.inbox import Inbox, check_sampling
from chatbot.engine.loading import (
    LoadedModel,
    load,
    pick_device,
    pick_precision,
    release_memory,
)
from chatbot.engine.model_reference import FoundModel, find_model
from chatbot.engine.progress import Report
from chatbot.engine.protocol import (
    Count,
    Counted,
    EngineRequest,
    Generate,
    Load,
    Loaded,
    LoadProgress,
    Render,
    Rendered,
    Unload,
    Unloaded,
)
from chatbot.errors import ModelError
from chatbot.settings import Precision
from chatbot.worker.protocol import Failed
from chatbot.worker.server import Channel


class Engine:
    """Holds at most one model, and does what it is asked with it."""

    def __init__(self, channel: "Channel[EngineRequest]", inbox: Inbox) -> None:
        self._channel = channel
        self._inbox = inbox
        self._device = pick_device()
        self._loaded: LoadedModel | None = None

    def run(self) -> None:
        """Carry out requests for ever; what fails is reported, and the next one is taken."""
        for request in self._inbox.take():
            failure: Failed | None = None
            is_lost = False
            try:
                self._carry_out(request)
            except Exception as error:
                traceback.print_exc(file=sys.stderr)
                shown = as_chatbot_error(error, "answering")
                kind = type(shown).__name__
                failure = Failed(request_id=request.id, message=str(shown), kind=kind)
                is_lost = is_device_lost(error)
            if failure is not None:
                if not is_lost:
                    release_memory()  # the error's frames, now gone, held on to tensors
                self._channel.send(failure)
            if is_lost:
                os._exit(1)  # a new process gets a working device

    def _carry_out(self, request: EngineRequest) -> None:
        match request:
            case Load():
                self._load(request)
            case Generate():
                check_sampling(request.sampling)
                for event in answer(self._model(), request, self._inbox.control_of(request)):
                    self._channel.send(event)
            case Count():
                prompts = self._model().prompts
                sizes, rest = prompts.count(
                    request.messages, continue_last=request.continue_last, tools=request.tools
                )
                self._channel.send(
                    Counted(
                        request_id=request.id,
                        message_tokens=sizes,
                        generation_prompt_tokens=rest,
                        tool_tokens=prompts.count_tools(request.messages, request.tools),
                    )
                )
            case Render():
                prompt = self._model().prompts.build(
                    request.messages, continue_last=request.continue_last, tools=request.tools
                )
                self._channel.send(
                    Rendered(
                        request_id=request.id,
                        text=prompt.text,
                        num_tokens=len(prompt.tokens),
                    )
                )
            case Unload():
                self._loaded = None
                release_memory()
                self._channel.send(Unloaded(request_id=request.id))

    def _model(self) -> LoadedModel:
        if self._loaded is None:
            raise ModelError("No model is loaded; load one first.")
        return self._loaded

    def _load(self, request: Load) -> None:
        precision = pick_precision(request.precision, self._device)
        present = self._loaded
        if present is None or (present.info.name, present.info.precision) != (
            request.model,
            precision,
        ):
            del present  # or the old model's memory could not be given back

            def report(stage: str, fraction: float | None) -> None:
                self._channel.send(
                    LoadProgress(request_id=request.id, stage=stage, fraction=fraction)
                )

            self._replace(find_model(request.model, report), precision, report)
        self._channel.send(Loaded(request_id=request.id, info=self._model().info))

    def _replace(self, found: FoundModel, precision: Precision, report: Report) -> None:
        """Give up the present model for ``found``, or have it back when that fails.

        Raises:
            ModelError: ``found`` cannot be loaded.
        """
        old = self._loaded and (self._loaded.found, self._loaded.info.precision)
        self._loaded = None
        release_memory()
        failure = ""
        try:
            self._loaded = load(found, precision, self._device, report)
        except ModelError as error:
            traceback.print_exc(file=sys.stderr)
            failure = str(error)
        if failure:
            release_memory()
            if old:
                self._loaded = load(*old, self._device, report)
            raise ModelError(failure)
