"""A GPU that computes nothing, but notices what a real one would wait for.

Its tensors have sizes, a type and a device, by torch's ``FakeTensorMode``; every number that is
fetched is a 1. So the very code that runs on a GPU runs on any machine, in the model's real size if
need be, and what it would have to wait for is counted.
"""

import contextlib
import traceback
from collections.abc import Callable, Iterator
from types import EllipsisType
from typing import Any, Final
from unittest import mock

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from chatbot.engine.decode.gpu.graphs import Step


class FakeGpu(TorchDispatchMode):
    """What the host does to the device, told apart by whether it waits."""

    def __init__(self) -> None:
        super().__init__()
        self.capability = (9, 0)
        self.waits: list[str] = []
        """Operations that wait for all that was launched before."""
        self.num_received = 0
        """Results that were waited for alone, whatever was launched after them."""
        self.num_captured = 0
        self.num_replayed = 0
        self._arriving: dict[StorageWeakRef, _Event | None] = {}
        """Pinned memory, and what says that the last copy to it has arrived; None: all is here."""
        self._sent: list[StorageWeakRef] = []
        """Pinned memory whose copy no event was recorded behind yet."""
        self._read: set[StorageWeakRef] | None = None
        """Memory that was read since a capture began; None: nothing is being captured."""
        self._made: set[StorageWeakRef] = set()
        """Memory that was allocated since then."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func.namespace == "aten":
            with self:  # one by one, what is made of other operations
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        name = func._schema.name.removeprefix("aten::")
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if name == "_local_scalar_dense":
            return self._fetch(given[0])
        if name == "nonzero":
            self._wait("places are counted")
            return torch.zeros(2, given[0].dim(), dtype=torch.int64, device=given[0].device)
        if name in ("index", "index_put_") and any(_is_mask(pick) for pick in args[1]):
            self._wait("places are counted")
            args = (args[0], [_first_place(pick) for pick in args[1]], *args[2:])
        if name in ("normal_", "uniform_"):  # there are no numbers
            return args[0]
        if name == "_grouped_mm":
            if self.capability[0] != 9 or args[0].dtype != torch.bfloat16:
                self._wait("groups are counted")
            # For fakes it is there in bf16 alone.
            func, kwargs = torch.ops.aten.new_empty.default, {}
            args = (args[0], (args[0].shape[0], args[1].shape[-1]))
        result = func(*args, **kwargs)
        made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        if name == "lift_fresh":
            result.constant = None  # which would be sent to a GPU for good
        if kwargs.get("pin_memory"):
            self._arriving[_memory(made[0])] = None
        if name in ("copy_", "_to_copy"):
            self._note_copy(made[0], given[-1])
        if self._read is not None:
            known = {_memory(tensor) for tensor in given}
            self._read |= known - self._made
            self._made |= {_memory(tensor) for tensor in made} - known
        return result

    def _wait(self, what: str) -> None:
        if self._read is not None:
            raise RuntimeError(f"{what} is not permitted when a stream is capturing")
        frames = [f for f in traceback.extract_stack() if "/chatbot/" in f.filename]
        self.waits.append(f"{what}: {frames[-1].line}" if frames else what)

    def _fetch(self, tensor: Tensor) -> float | int | bool:
        if tensor.is_cuda:
            self._wait("a number is fetched")
        elif self._arriving.get(_memory(tensor)):
            raise RuntimeError("a result was looked at before it was here")
        return 1.0 if tensor.is_floating_point() else (tensor.dtype == torch.bool or 1)

    def _note_copy(self, target: Tensor, source: Tensor) -> None:
        if target.is_cuda == source.is_cuda:
            return
        memory = _memory(source if target.is_cuda else target)
        if memory not in self._arriving:
            self._wait(f"{source.device} is copied to {target.device}")
        elif source.is_cuda:
            self._sent.append(memory)

    def capture(self, step: Step) -> Step:
        """Stands in for a graph: notices what cannot be captured, and what is freed afterwards."""
        step()
        self._read, self._made = set(), set()
        try:
            output = step()
            read = self._read
        finally:
            self._read = None
        self.num_captured += 1

        def replay() -> Tensor:
            self.num_replayed += 1
            if any(memory.expired() for memory in read):
                raise RuntimeError("a graph reads memory that was freed")
            return output

        return replay


class _Event:
    """Stands in for ``torch.cuda.Event``."""

    gpu: FakeGpu

    def record(self) -> None:
        for memory in self.gpu._sent:
            self.gpu._arriving[memory] = self
        self.gpu._sent.clear()

    def synchronize(self) -> None:
        self.gpu.num_received += 1
        for memory, event in self.gpu._arriving.items():
            if event is self:
                self.gpu._arriving[memory] = None


_UNGUARDED: Final[dict[Any, Callable[..., Any]]] = {
    Tensor.__bool__: lambda tensor: bool(tensor.item()),
    Tensor.__float__: lambda tensor: float(tensor.item()),
    Tensor.__int__: lambda tensor: int(tensor.item()),
    Tensor.__invert__: torch.bitwise_not,
    Tensor.contiguous: torch.ops.aten.contiguous,
    Tensor.copy_: torch.ops.aten.copy_,
    Tensor.nonzero: torch.ops.aten.nonzero,
}


class _Unguarded(TorchFunctionMode):
    """Goes without the guard for the device that some calls ask for, and a CPU's torch has not."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.__getitem__:
            return _picked(*args)
        if func is Tensor.__setitem__:
            return _put(*args)
        if func in _UNGUARDED:
            return _UNGUARDED[func](*args, **(kwargs or {}))
        if func is Tensor.new_tensor:
            return torch.tensor(args[1], dtype=args[0].dtype, device=args[0].device)
        if func is torch.multinomial:
            return torch.empty(args[1], dtype=torch.int64, device=args[0].device)
        return func(*args, **(kwargs or {}))


def _viewed(tensor: Tensor, index: Any) -> tuple[Tensor, list[Tensor | None]]:
    """What numbers and slices leave of ``tensor``, and the tensors that pick from it."""
    items = list(index) if isinstance(index, tuple) else [index]
    picks: list[Tensor | None] = []
    for place, item in enumerate(items):
        dim = len(picks)
        if isinstance(item, list):
            item = torch.tensor(item, device=tensor.device)
        if isinstance(item, Tensor) and not item.dim() and item.dtype != torch.bool:
            item = item.item()  # torch fetches it as well
        if item is None:
            tensor = tensor.unsqueeze(dim)
        elif isinstance(item, int):
            tensor = tensor.select(dim, min(item, tensor.shape[dim] - 1))  # all numbers are 1
            continue
        elif isinstance(item, EllipsisType):
            left = sum(later is not None for later in items[place + 1 :])
            picks += [None] * (tensor.dim() - dim - left)
            continue
        elif isinstance(item, slice):
            tensor = torch.ops.aten.slice(tensor, dim, item.start, item.stop, item.step or 1)
        picks.append(item if isinstance(item, Tensor) else None)
    return tensor, picks


def _picked(tensor: Tensor, index: Any) -> Tensor:
    tensor, picks = _viewed(tensor, index)
    if all(pick is None for pick in picks):
        return tensor
    return torch.ops.aten.index(tensor, picks)


def _put(tensor: Tensor, index: Any, value: Any) -> None:
    tensor, picks = _viewed(tensor, index)
    if any(pick is not None for pick in picks):
        new = value if isinstance(value, Tensor) else torch.full((), value, device=tensor.device)
        torch.ops.aten.index_put_(tensor, picks, new.to(tensor.dtype))
    elif isinstance(value, Tensor):
        torch.ops.aten.copy_(tensor, value)
    else:
        tensor.fill_(value)


def _list(tensor: Tensor) -> Any:
    found: Any = tensor.as_strided((1,), (1,)).item()
    for size in reversed(tensor.shape):
        found = [found] * size
    return found


def _is_mask(pick: Tensor | None) -> bool:
    return pick is not None and pick.dtype == torch.bool


def _first_place(pick: Tensor | None) -> Tensor | None:
    return pick.new_zeros(2, dtype=torch.int64) if pick is not None and _is_mask(pick) else pick


def _memory(tensor: Tensor) -> StorageWeakRef:
    return StorageWeakRef(tensor.untyped_storage())


@contextlib.contextmanager
def fake_gpu() -> Iterator[FakeGpu]:
    """Have a GPU for as long as this lasts."""
    gpu = FakeGpu()
    event = type("Event", (_Event,), {"gpu": gpu})
    room = (10**12, 10**12)
    generator = torch.Generator()
    with (
        torch.inference_mode(),  # without it a torch for CPUs asks for a GPU
        FakeTensorMode(),
        gpu,
        _Unguarded(),
        mock.patch("torch.cuda.Event", event),
        mock.patch.object(FakeTensor, "tolist", _list),
        mock.patch("torch.cuda.mem_get_info", return_value=room),
        mock.patch("torch.cuda.get_device_capability", side_effect=lambda _: gpu.capability),
        mock.patch("torch.Generator", return_value=generator),
        mock.patch("torch.backends.cuda.can_use_efficient_attention", return_value=True),
        mock.patch("chatbot.engine.kv_cache.CudaCapture", return_value=gpu.capture),
    ):
        yield gpu
