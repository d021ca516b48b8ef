"""Steps of several kinds, each of which is captured when it has run often enough without.

Nothing waits for a capture: the first runs of each kind come without. Knows nothing of models.
"""

import sys
from collections.abc import Hashable
from typing import Final

from torch import Tensor

from chatbot.engine.decode.gpu.graphs import Capture, Step

NUM_EAGER: Final = 2
"""Runs of one kind before it is captured: for one or two it would not pay."""


class GraphedSteps:
    """What is captured, and what was not yet."""

    def __init__(self, capture: Capture | None, subject: str = "steps") -> None:
        """Begin with nothing.

        Args:
            capture: turns a step into a faster one; None: steps stay as they are.
            subject: what is computed, for the log.
        """
        self.capture = capture
        """None as soon as something could not be captured."""
        self._subject = subject
        self.forget()

    def forget(self) -> None:
        """Something has moved that captured steps read: capture all of them anew."""
        self._captured: dict[Hashable, Step] = {}
        self._num_run: dict[Hashable, int] = {}

    @property
    def has_captured(self) -> bool:
        """Whether any step is captured by now."""
        return bool(self._captured)

    def captured(self, kind: Hashable, step: Step, rewritten: Tensor | None = None) -> Step | None:
        """The captured form of ``step``; None when it is to be run as it is.

        Args:
            kind: equal for steps that do the same to the same memory.
            step: what is captured when it is time; it runs once for that.
            rewritten: what the step reads and writes over, which is put back after that run.
        """
        if kind in self._captured:
            return self._captured[kind]
        count = self._num_run[kind] = self._num_run.get(kind, 0) + 1
        if self.capture is None or count <= NUM_EAGER:
            return None
        before = None if rewritten is None else rewritten.clone()
        try:
            self._captured[kind] = self.capture(step)
        except Exception as error:
            # It goes on as it is, and the statistics say so.
            print(f"{self._subject} not captured as a graph: {error}", file=sys.stderr, flush=True)
            self.capture = None
            self._captured = {}
            return None
        finally:
            if rewritten is not None and before is not None:
                rewritten.copy_(before)
        return self._captured[kind]
