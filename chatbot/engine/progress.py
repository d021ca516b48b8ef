"""Turns the progress bars of libraries into reports for the user."""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any, Final

Report = Callable[[str, float | None], None]
"""Told what is being done, and how far it is, from 0 to 1 or None."""

MIN_SECONDS: Final = 0.1
"""Shortest time between two reports."""


class ProgressBar:
    """Looks like tqdm to those who use it, and reports instead of drawing."""

    def __init__(
        self, iterable: Iterable[Any] | None, total: float | None, stage: str, report: Report
    ) -> None:
        self._iterable = iterable
        if total is None and isinstance(iterable, Sized):
            total = len(iterable)
        self.total = total
        self.n: float = 0
        self._stage = stage
        self._report = report
        self._last = 0.0

    def __iter__(self) -> Iterator[Any]:
        """Pass the items through, and count them."""
        for item in self._iterable or ():
            yield item
            self.update()

    def __enter__(self) -> "ProgressBar":
        """As tqdm, usable in ``with``."""
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing is to be closed."""

    def update(self, n: float | None = 1) -> None:
        """Count ``n`` more."""
        self.n += n or 0
        now = time.monotonic()
        if now - self._last >= MIN_SECONDS:
            self._last = now
            self._report(self._stage, min(1.0, self.n / self.total) if self.total else None)

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Everything else that a tqdm can do (``set_postfix``, ``close``): nothing."""
        return lambda *args, **kwargs: None


@contextlib.contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Within this, ``owner`` has ``value`` under ``name``."""
    original = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, original)


@contextlib.contextmanager
def progress_bars(stage: str, report: Report) -> Iterator[None]:
    """Within this, transformers' bars are reported as ``stage``."""
    import transformers.modeling_gguf_pytorch_utils as gguf_loader
    from transformers.utils import logging

    def make(iterable: Iterable[Any] | None = None, *, total: Any = None, **_: Any) -> ProgressBar:
        return ProgressBar(iterable, total, stage, report)

    previous = logging.set_tqdm_hook(lambda _factory, args, kwargs: make(*args[:1], **kwargs))
    try:
        with replaced(gguf_loader, "tqdm", make):
            yield
    finally:
        logging.set_tqdm_hook(previous)
