"""The requests that wait, and the two that do not: ``Cancel`` and ``SetSampling``.

A reader thread takes requests from the client at all times, so that a running answer can be
stopped or changed, and so that the process ends at once when its client does. Imports no
torch: it is at work before torch is.
"""

import os
import sys
import threading
import traceback
from collections import deque
from collections.abc import Iterator
from typing import Final

from chatbot.engine.protocol import (
    Cancel,
    EngineRequest,
    Generate,
    Load,
    LoadProgress,
    SetSampling,
)
from chatbot.errors import SettingError
from chatbot.settings import MAX_SEED, SPECS, Sampling
from chatbot.worker.server import Channel


class Control:
    """What the client may change about one answer while it is being written.

    Written by the reader thread and read by the one that generates. Both fields are replaced
    as a whole, so no lock is needed.
    """

    def __init__(self, sampling: Sampling) -> None:
        self.sampling = sampling
        """Settings for the next token."""
        self.is_cancelled = False


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

    def control_of(self, request: Generate) -> Control:
        """The control of a request that ``take`` yielded and that is not done."""
        with self._changed:
            return self._controls.setdefault(request.id, Control(request.sampling))

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
                        control.is_cancelled = True
                case SetSampling(target=target, sampling=sampling):
                    if control := self._controls.get(target):
                        _change(control, sampling)
                case _:
                    if isinstance(request, Generate):
                        self._controls[request.id] = Control(request.sampling)
                    self._queue.append(request)
                    self._tell(request)
                    self._changed.notify()

    def _tell(self, request: EngineRequest) -> None:
        if self._stage is not None and isinstance(request, Load):
            self._channel.send(LoadProgress(request_id=request.id, stage=self._stage))


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
    try:
        check_sampling(sampling)
    except SettingError as error:
        print(f"settings not applied: {error}", file=sys.stderr, flush=True)
    else:
        control.sampling = sampling
