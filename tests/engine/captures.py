"""Stand-ins for capturing a step as a graph, since the real capture needs a GPU."""

from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from chatbot.engine.decode.gpu.graphs import Step

WAITING: Final = {
    "_local_scalar_dense",  # a number is fetched, as by indexing with a tensor without dimensions
    "equal",
    "is_nonzero",
    "lift_fresh",  # numbers are sent
    "masked_select",
    "nonzero",
    "unique_dim",
    "_unique2",
}
"""What waits for a device, or sends to it from memory that is not pinned: both break a capture."""


class NoWaiting(TorchDispatchMode):
    """Raises where a capture on a GPU would."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.removeprefix("aten::")
        is_picking = name in ("index", "index_put_") and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        if name in WAITING or is_picking:
            raise RuntimeError(f"{name} is not permitted when a stream is capturing")
        return func(*args, **(kwargs or {}))


@dataclass(frozen=True, slots=True)
class _Call:
    """An operation as it was captured: with the very tensors, and the numbers of that moment."""

    func: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    made: list[Tensor | None]
    """What it gave back; None where that is memory of its arguments, or no tensor."""

    def repeat(self) -> None:
        """Do the same to the same memory."""
        results = tree_leaves(self.func(*self.args, **self.kwargs))
        for made, result in zip(self.made, results, strict=True):
            if made is not None:
                made.copy_(result)


class _Recording(TorchDispatchMode):
    """Writes down each operation."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[_Call] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        given = {_memory(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        made = [
            leaf if isinstance(leaf, Tensor) and _memory(leaf) not in given else None
            for leaf in tree_leaves(result)
        ]
        self.calls.append(_Call(func, args, kwargs, made))
        return result


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


class Replaying:
    """Captures as a graph does: what is repeated are the operations and not the code that called
    them, so a number or a choice that Python made for the one step holds for all that follow; and
    what is given back is always in the same memory."""

    def __init__(self) -> None:
        self.num_captured = 0
        self.num_replayed = 0

    def __call__(self, step: Step) -> Step:
        with NoWaiting(), _Recording() as recording:
            output = step()
        self.num_captured += 1

        def replay() -> Tensor:
            self.num_replayed += 1
            for call in recording.calls:
                call.repeat()
            return output

        return replay


class OnDevice(TorchDispatchMode):
    """Raises where anything is computed with a tensor that is elsewhere: on a GPU it would have to
    be sent there in the middle of a step."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self._device = device
        self.num_seen = 0
        """Operations that were looked at."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.num_seen += 1
        for leaf in tree_leaves((args, kwargs, result)):
            if isinstance(leaf, torch.Tensor) and leaf.device != self._device:
                raise RuntimeError(f"{func} has a tensor on {leaf.device}")
        return result


class NoDoubles(TorchDispatchMode):
    """Raises where an Apple GPU would, which has no numbers of 64 bits but whole ones."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and leaf.dtype == torch.float64:
                raise TypeError(f"{func} makes doubles")
        return result
