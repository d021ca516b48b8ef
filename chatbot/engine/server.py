"""Carries out requests, one after the other. Everything that needs torch starts here."""

import os
import sys
import traceback
from collections.abc import Iterable
from typing import Final

import msgspec

from chatbot.engine.adapters import use_adapters
from chatbot.engine.answer import answer
from chatbot.engine.decode.cpu.preparing import begin_for
from chatbot.engine.devices import look, release_memory, take_device, trim_memory
from chatbot.engine.failures import as_chatbot_error, is_device_lost, is_panic
from chatbot.engine.finding import FoundModel, find_model
from chatbot.engine.inbox import Control, Inbox, check_sampling
from chatbot.engine.loading import LoadedModel, load
from chatbot.engine.placement import place
from chatbot.engine.precisions import pick_precision
from chatbot.engine.progress import Report
from chatbot.engine.prompt_meter import Tell
from chatbot.engine.protocol import EngineRequest
from chatbot.engine.protocol.answer import Generate
from chatbot.engine.protocol.loading import (
    Adapt,
    Adapted,
    Load,
    Loaded,
    LoadProgress,
    Prepare,
    Prepared,
)
from chatbot.engine.protocol.model_info import AdapterUse
from chatbot.engine.protocol.prompt import Count, Counted, PromptProgress, Render, Rendered
from chatbot.engine.protocol.variants import MAX_VARIANTS, GenerateVariants, SearchBeams
from chatbot.engine.variants.answers import answer_variants
from chatbot.engine.variants.beams import search_beams
from chatbot.errors import ModelError, SettingError
from chatbot.models.facts import shape_of_folder
from chatbot.models.fitting import check_fit
from chatbot.models.memory import RUNTIME_BYTES
from chatbot.settings import Precision
from chatbot.tokens import ReadingProgress
from chatbot.worker.protocol import Event, Failed
from chatbot.worker.server import Channel

_ALL_THE_SAME: Final = ", or load it all the same with --force (/model {} --force in a chat)"


class Engine:
    """Holds at most one model, and does what it is asked with it."""

    def __init__(self, channel: "Channel[EngineRequest]", inbox: Inbox) -> None:
        self._channel = channel
        self._inbox = inbox
        self._device = take_device()
        self._loaded: LoadedModel | None = None
        self._asked = Load(id=0, model="")
        """By which the present model was loaded."""

    def run(self) -> None:
        """Carry out requests for ever; what fails is reported, and the next one is taken."""
        for request in self._inbox.take():
            failure: Failed | None = None
            is_lost = False
            try:
                self._carry_out(request)
            except BaseException as error:
                if not isinstance(error, Exception) and not is_panic(error):
                    raise
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
            case Prepare():
                found = find_model(
                    request.model, self._reporter(request.id), allows_code=request.allows_code
                )
                self._channel.send(Prepared(request_id=request.id, folder=str(found.folder)))
            case Adapt():
                self._adapt(request.adapters)
                self._channel.send(Adapted(request_id=request.id, info=self._model().info))
            case Generate():
                check_sampling(request.sampling)
                self._send_all(answer(self._model(), request, *self._line_to(request)))
                trim_memory()  # what reading the prompt took beside the cache
            case GenerateVariants():
                self._check_number(len(request.samplings))
                for sampling in request.samplings:
                    check_sampling(sampling)
                self._send_all(answer_variants(self._model(), request, *self._line_to(request)))
            case SearchBeams():
                self._check_number(request.num_beams)
                check_sampling(request.sampling)
                self._send_all(search_beams(self._model(), request, *self._line_to(request)))
            case Count():
                prompts = self._model().prompts.told(request.thinking)
                sizes, rest = prompts.count(
                    request.messages, continue_last=request.continue_last, tools=request.tools
                )
                thinking, shown = prompts.count_thinking(
                    request.messages, continue_last=request.continue_last, tools=request.tools
                )
                self._channel.send(
                    Counted(
                        request_id=request.id,
                        message_tokens=sizes,
                        generation_prompt_tokens=rest,
                        tool_tokens=prompts.count_tools(request.messages, request.tools),
                        thinking_tokens=thinking,
                        shown_thinking_tokens=shown,
                    )
                )
            case Render():
                prompts = self._model().prompts.told(request.thinking)
                prompt = prompts.build(
                    request.messages, continue_last=request.continue_last, tools=request.tools
                )
                self._channel.send(
                    Rendered(
                        request_id=request.id,
                        text=prompt.text,
                        num_tokens=len(prompt.tokens),
                        typed_controls=prompt.typed_controls,
                    )
                )

    @staticmethod
    def _check_number(number: int) -> None:
        """Refuse batches that the client should never have asked for."""
        if not 1 <= number <= MAX_VARIANTS:
            raise SettingError(f"From 1 to {MAX_VARIANTS} answers can be made at once.")

    def _model(self) -> LoadedModel:
        if self._loaded is None:
            raise ModelError("No model is loaded; load one first.")
        return self._loaded

    def _reporter(self, request_id: int) -> Report:
        def report(stage: str, fraction: float | None) -> None:
            self._channel.send(LoadProgress(request_id=request_id, stage=stage, fraction=fraction))

        return report

    def _line_to(self, request: Generate | GenerateVariants | SearchBeams) -> tuple[Control, Tell]:
        """What the client changes about its answers, and who tells it how the prompt is read."""

        def tell(progress: ReadingProgress) -> None:
            self._channel.send(PromptProgress(request_id=request.id, progress=progress))

        return self._inbox.control_of(request), tell

    def _send_all(self, events: Iterable[Event]) -> None:
        for event in events:
            self._channel.send(event)

    def _load(self, request: Load) -> None:
        if not self._has(request):
            begin_for(self._device)
            report = self._reporter(request.id)
            found = find_model(request.model, report, allows_code=request.allows_code)
            self._replace(found, self._precision_for(found, request), request, report)
            self._asked = request
        self._adapt(request.adapters)
        self._channel.send(Loaded(request_id=request.id, info=self._model().info))

    def _has(self, request: Load) -> bool:
        """Whether the present model is the one that is asked for."""
        if self._loaded is None or self._loaded.info.name != request.model:
            return False
        present = self._loaded.info.precision
        return request.precision in (present, self._asked.precision)

    def _precision_for(self, found: FoundModel, request: Load) -> Precision:
        """The precision to load, which fits unless the user insists.

        Raises:
            ModelFitError: it does not fit; the text says what would.
            ModelError: there is no such precision here.
        """
        shape = shape_of_folder(found.folder)
        hardware = look(self._device)
        # The libraries are in memory already, and the present model gives its own back.
        given_back = RUNTIME_BYTES
        if self._loaded is not None:
            given_back += self._loaded.info.weight_bytes
        precision = pick_precision(
            request.precision, self._device, shape, hardware, request.context_length, given_back
        )
        if shape is not None and not request.is_forced:
            check_fit(
                found.name,
                shape,
                precision,
                hardware,
                request.context_length,
                given_back,
                _ALL_THE_SAME.format(found.name),
            )
        return precision

    def _replace(
        self, found: FoundModel, precision: Precision, request: Load, report: Report
    ) -> None:
        """Give up the present model for ``found``, or have it back when that fails.

        Raises:
            ModelError: ``found`` cannot be loaded.
        """
        old = self._loaded and (self._loaded.found, self._loaded.info)
        self._loaded = None
        release_memory()
        failure = ""
        try:
            self._loaded = self._placed(found, precision, request.context_length, report)
        except ModelError as error:
            traceback.print_exc(file=sys.stderr)
            failure = str(error)
        if failure:
            release_memory()
            if old:
                old_found, old_info = old
                self._loaded = self._placed(
                    old_found, old_info.precision, self._asked.context_length, report
                )
                self._adapt(
                    tuple(AdapterUse(path=a.path, weight=a.weight) for a in old_info.adapters)
                )
            raise ModelError(failure)

    def _placed(
        self, found: FoundModel, precision: Precision, context_length: int, report: Report
    ) -> LoadedModel:
        placement = place(
            shape_of_folder(found.folder),
            precision,
            self._device,
            look(self._device),
            context_length,
        )
        loaded = load(found, precision, self._device, report, placement)
        release_memory()  # what the weights went through on their way
        return loaded

    def _adapt(self, wanted: tuple[AdapterUse, ...]) -> None:
        """Have the present model use these adapters alone.

        Raises:
            ModelError: one of them cannot be used; nothing is changed then.
        """
        model = self._model()
        present = tuple(AdapterUse(path=a.path, weight=a.weight) for a in model.info.adapters)
        if wanted == present:
            return
        adapters = use_adapters(model, wanted)
        info = msgspec.structs.replace(model.info, adapters=adapters)
        self._loaded = msgspec.structs.replace(model, info=info)
        model.cached.clear()  # what was read is not what would be read now
