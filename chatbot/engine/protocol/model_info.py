"""What is loaded: a model, where its weights lie, and the adapters that are in use."""

from typing import Literal

import msgspec

from chatbot.errors import SettingError
from chatbot.settings import Precision
from chatbot.wording import memory


class DeviceShare(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a model's weights that lies in one place."""

    device: str
    """As torch names it, or ``disk``."""
    num_bytes: int


class AdapterUse(msgspec.Struct, frozen=True, kw_only=True):
    """A LoRA adapter, and how much of it."""

    path: str
    """A folder as peft writes it."""
    weight: float = 1.0
    """Multiplies what it was trained to add; 0 is as if it was not there."""


def parse_adapter(text: str) -> AdapterUse:
    """What ``PATH`` or ``PATH=WEIGHT`` stands for.

    Raises:
        SettingError: the weight is no number.
    """
    path, equals, weight = text.rpartition("=")
    if not equals:
        return AdapterUse(path=text)
    try:
        return AdapterUse(path=path, weight=float(weight))
    except ValueError:
        raise SettingError(
            f"The weight of an adapter must be a number: --adapter {path}=0.5"
        ) from None


class AdapterInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An adapter that is in use."""

    path: str
    name: str
    """The last part of its path."""
    weight: float
    rank: int

    @property
    def label(self) -> str:
        """As it is shown and stored with an answer: ``pirate``, ``pirate x0.5``."""
        return self.name if self.weight == 1 else f"{self.name} x{self.weight:g}"


ThinkingSwitch = Literal["none", "always", "without_system"]
"""Whether a model's template can be told to have it think or not: never, always, or only while
there is no system prompt."""


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What is loaded."""

    name: str
    """The reference it was loaded by: ``smollm2-135m``."""
    precision: Precision
    """The one in use; never ``auto``."""
    device: str
    """As torch names it: ``cpu``, ``cuda:0``, ``mps``."""
    context_length: int
    """Longest sequence the model was made for, in tokens."""
    num_parameters: int
    load_seconds: float
    tool_dialect: str = ""
    """How it writes tool calls: ``hermes``, ``llama3``, …, or ``compact`` for our own protocol,
    which stands in where its template knows no tools."""
    thinks: bool = False
    """Whether it marks what it thinks, so that thinking can be told from the answer."""
    thinking_switch: ThinkingSwitch = "none"
    weight_bytes: int = 0
    """Measured: all its weights, wherever they are."""
    placement: tuple[DeviceShare, ...] = ()
    """How they are split; one entry where they are not."""
    adapters: tuple[AdapterInfo, ...] = ()
    """Whose words the next answer has besides the model's own."""

    @property
    def split(self) -> str:
        """``3.1 GiB on cuda:0, 2.0 GiB on cpu``; empty where all is in one place."""
        if len(self.placement) < 2:
            return ""
        shares = (f"{memory(s.num_bytes)} on {s.device}" for s in self.placement)
        return ", ".join(shares)
