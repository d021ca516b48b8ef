"""Breaks off what a model computes. Knows modules; nothing of caches and tokens."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

from chatbot.engine.decode.decoder import Interrupted


def _never() -> bool:
    return False


class Brake:
    """Breaks off a model's computation between two of its layers.

    A class of its own so that the model's hooks refer to nothing that refers to the model.
    """

    def __init__(self, model: nn.Module) -> None:
        self.is_pulled: Callable[[], bool] = _never
        for module in model.modules():
            if isinstance(module, nn.ModuleList):
                for layer in module:
                    layer.register_forward_pre_hook(self._check)

    @contextlib.contextmanager
    def pulled_by(self, is_cancelled: Callable[[], bool]) -> Iterator[None]:
        """Ask ``is_cancelled`` before each layer for as long as this lasts."""
        self.is_pulled = is_cancelled
        try:
            yield
        finally:
            self.is_pulled = _never

    def check(self) -> None:
        """Before a layer.

        Raises:
            Interrupted: it is pulled.
        """
        if self.is_pulled():
            raise Interrupted

    def _check(self, _module: nn.Module, _inputs: Any) -> None:
        self.check()
