"""What a function says of itself beyond its signature, before it becomes a tool.

Imports next to nothing, because every tool process and the user's own file import it.
"""

from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar

FunctionT = TypeVar("FunctionT", bound=Callable[..., object])

_ATTRIBUTE: Final = "__chatbot_tool__"


class Traits(NamedTuple):
    """What a tool does to the world. What is not said is taken to be the worst."""

    name: str = ""
    """Empty for the function's own name."""
    reaches_network: bool = True
    writes: bool = True
    """Changes anything outside its own process: files, devices, other programs."""


def tool(
    *, name: str = "", reaches_network: bool = True, writes: bool = True
) -> Callable[[FunctionT], FunctionT]:
    """Say of a function what its signature cannot say.

    A public function of the user's file is a tool without it, and then counts as one that
    writes and reaches the network, which is asked about more often::

        @tool(reaches_network=False, writes=False)
        def dice(sides: int = 6) -> int:
            "Throw a die."
            return random.randint(1, sides)

    Args:
        name: what the model calls it; empty for the function's own name.
        reaches_network: it sends anything out of this machine.
        writes: it changes files, devices or other programs.
    """
    traits = Traits(name=name, reaches_network=reaches_network, writes=writes)

    def mark(function: FunctionT) -> FunctionT:
        setattr(function, _ATTRIBUTE, traits)
        return function

    return mark


def traits_of(function: Callable[..., object]) -> Traits:
    """What ``tool`` was told of the function; the worst of one that it was not used on."""
    traits = getattr(function, _ATTRIBUTE, None)
    return traits if isinstance(traits, Traits) else Traits()
