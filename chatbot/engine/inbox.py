"""The requests that wait, and those that do not: ``Cancel``, ``SetSampling``, ``SetSamplings``,
``Hold`` and ``AnswerNow``.

A reader thread takes requests from the client at all times, so that a running answer can be
stopped or changed, and so that the process ends at once when its client does. Imports no
torch: it is at work before torch is.
"""

import os
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

from chatbot.engine.protocol import EngineRequest
from chatbot.engine.protocol.answer import Generate
from chatbot.engine.protocol.loading import Load, LoadProgress
from chatbot.engine.protocol.steering import AnswerNow, Cancel, Hold, SetSampling, SetSamplings
from chatbot.engine.protocol.variants import GenerateVariants, SearchBeams
from chatbot.errors import SettingError
from chatbot.settings import MAX_SEED, SPECS, Sampling
from chatbot.worker.server import Channel


class Control:
    """What the client may change about an answer, or several, while they are being written.

    Written by the reader thread and read by the one that generates. The fields are replaced
    as a whole, so no lock is needed but for the one that generates to wait.
    """

    def __init__(self, sampling: Sampling, samplings: tuple[Sampling, ...] = ()) -> None:
        self.sampling = sampling
        """Settings for the next token."""
        self.samplings = samplings
        """The same for each of several answers; empty where they are to stay as they are."""
        self.is_cancelled = False
        self.wants_answer = False
        """Whatever is thought is to end."""
        self.held_seconds = 0.0
        """How long the answer has been held so far, altogether."""
        self._changed = threading.Condition()
        self._is_paused = False
        self._num_steps = 0

    @property
    def is_held(self) -> bool:
        """Whether the next token has to wait."""
        return self._is_paused and self._num_steps == 0 and not self.is_cancelled

    def hold(self, num_steps: int | None) -> None:
        """Let so many more tokens be drawn; None lets the answer go on."""
        with self._changed:
            self._is_paused = num_steps is not None
            self._num_steps = num_steps or 0
            self._changed.notify_all()

    def cancel(self) -> None:
        """End the answer, held or not."""
        with self._changed:
            self.is_cancelled = True
            self._changed.notify_all()

    def take_step(self) -> None:
        """Note that a token was drawn."""
        if self._num_steps:
            with self._changed:
                self._num_steps = max(0, self._num_steps - 1)

    def wait(self) -> None:
        """Wait until the next token may be drawn, or the answer is cancelled."""
        start = time.perf_counter()
        with self._changed:
            self._changed.wait_for(lambda: not self.is_held)
        self.held_seconds += time.perf_counter() - start


class Inbox:
    """Requests in the order they came; controls for answers that wait or run."""

    def __init__(self, channel: "Channel[EngineRequest]") -> None:
        self._channel = channel
        self._queue: deque[EngineRequest] = deque()
        self._controls: dict[int, Control] = {}
        self._changed = threading.Condition()
        self._stage: str | None = None

    def start(self) -> None:
        """Start taking requests; when the client is gone, the process ends at once."""
        threading.Thread(target=self._read, name="inbox", daemon=True).start()

    def announce(self, stage: str | None) -> None:
        """Say what start-up is doing, to each ``Load`` that waits for it; None: it is done."""
        with self._changed:
            self._stage = stage
            for request in self._queue:
                self._tell(request)

    def take(self) -> Iterator[EngineRequest]:
        """Yield each request when its turn comes, for ever."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue)
                request = self._queue.popleft()
            yield request
            with self._changed:
                self._controls.pop(request.id, None)

    def control_of(self, request: Generate | GenerateVariants | SearchBeams) -> Control:
        """The control of a request that ``take`` yielded and that is not done."""
        with self._changed:
            return self._controls.setdefault(request.id, _control_for(request))

    def _read(self) -> None:
        status = 1
        try:
            for request in self._channel.requests():
                self._accept(request)
            status = 0
        except Exception:
            traceback.print_exc(file=sys.stderr)
            sys.stderr.flush()
        finally:
            os._exit(status)  # even in the middle of a load: nobody waits for it any more

    def _accept(self, request: EngineRequest) -> None:
        with self._changed:
            match request:
                case Cancel(target=target):
                    if control := self._controls.get(target):
                        control.cancel()
                case SetSampling(target=target, sampling=sampling):
                    if control := self._controls.get(target):
                        _change(control, sampling)
                case SetSamplings(target=target, samplings=samplings):
                    if control := self._controls.get(target):
                        _change_all(control, samplings)
                case Hold(target=target, num_steps=num_steps):
                    if control := self._controls.get(target):
                        control.hold(num_steps)
                case AnswerNow(target=target):
                    if control := self._controls.get(target):
                        control.wants_answer = True
                case _:
                    if isinstance(request, Generate | GenerateVariants | SearchBeams):
                        self._controls[request.id] = _control_for(request)
                    self._queue.append(request)
                    self._tell(request)
                    self._changed.notify()

    def _tell(self, request: EngineRequest) -> None:
        if self._stage is not None and isinstance(request, Load):
            self._channel.send(LoadProgress(request_id=request.id, stage=self._stage))


def _control_for(request: Generate | GenerateVariants | SearchBeams) -> Control:
    if isinstance(request, GenerateVariants):
        return Control(Sampling(), request.samplings)
    return Control(request.sampling, (request.sampling,))


_SAMPLING_SPECS: Final = tuple(spec for spec in SPECS if spec.is_sampling)


def check_sampling(sampling: Sampling) -> None:
    """Refuse settings that the client should never have sent.

    Raises:
        SettingError: a value is outside its allowed range.
    """
    for spec in _SAMPLING_SPECS:
        value = getattr(sampling, spec.name)
        maximum = MAX_SEED if spec.kind == "seed" else spec.maximum
        is_allowed = value is None if spec.kind == "seed" else False
        if not is_allowed and not spec.minimum <= value <= maximum:  # NaN fails this too
            raise SettingError(f"{spec.label} must be {spec.allowed}.")


def _change(control: Control, sampling: Sampling) -> None:
    if _are_allowed((sampling,)):
        control.sampling = sampling


def _change_all(control: Control, samplings: tuple[Sampling, ...]) -> None:
    if len(samplings) == len(control.samplings) and _are_allowed(samplings):
        control.samplings = samplings


def _are_allowed(samplings: Sequence[Sampling]) -> bool:
    try:
        for sampling in samplings:
            check_sampling(sampling)
    except SettingError as error:
        print(f"settings not applied: {error}", file=sys.stderr, flush=True)
        return False
    return True
