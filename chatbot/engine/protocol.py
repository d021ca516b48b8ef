"""What the engine can be asked, and what it answers. Imports no torch.

Requests are carried out one after the other; ``Cancel`` and ``SetSampling`` alone overtake,
and reach a running answer between two tokens.
"""

from typing import ClassVar

import msgspec

from chatbot.messages import FinishReason, Role, Statistics
from chatbot.settings import Precision, Sampling
from chatbot.worker.protocol import Event, Failed, Request


class ChatMessage(msgspec.Struct, frozen=True):
    """One message as the model's chat template knows it."""

    role: Role
    content: str


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


class Load(Request, frozen=True, kw_only=True):
    """Load a model in place of the present one. Answered by LoadProgress, then Loaded.

    A reference that cannot be resolved fails without touching the present model.
    """

    model: str
    precision: Precision = "auto"


class Count(Request, frozen=True, kw_only=True):
    """How many tokens each message takes in the rendered prompt. Answered by Counted."""

    messages: tuple[ChatMessage, ...]
    continue_last: bool = False
    """See ``Generate``."""


class Render(Request, frozen=True, kw_only=True):
    """The very text that the model would be given. Answered by Rendered."""

    messages: tuple[ChatMessage, ...]
    continue_last: bool = False
    """See ``Generate``."""


class Generate(Request, frozen=True, kw_only=True):
    """Continue a conversation. Answered by Deltas and SamplingApplied, then Generated."""

    messages: tuple[ChatMessage, ...]
    sampling: Sampling
    context_length: int = 0
    """Window in tokens; 0, or more than the model's own, means the model's own."""
    stop: tuple[str, ...] = ()
    """Strings before which the answer ends; they are not part of it."""
    continue_last: bool = False
    """The last message is the beginning of the answer: go on in the same sentence. The template
    then neither closes that message nor opens another one."""


class Cancel(Request, frozen=True, kw_only=True):
    """Stop the Generate request with this id. Has no answer of its own."""

    target: int


class SetSampling(Request, frozen=True, kw_only=True):
    """Change how the Generate request with this id goes on. Answered there."""

    target: int
    sampling: Sampling


class Unload(Request, frozen=True, kw_only=True):
    """Give back the model's memory. Answered by Unloaded."""


class LoadProgress(Event, frozen=True, kw_only=True):
    """How far a load is."""

    stage: str
    fraction: float | None = None


class Loaded(Event, frozen=True, kw_only=True):
    """The model is ready."""

    is_last: ClassVar[bool] = True

    info: ModelInfo


class Counted(Event, frozen=True, kw_only=True):
    """Exact sizes in tokens, as the model's own template and tokenizer make them."""

    is_last: ClassVar[bool] = True

    message_tokens: tuple[int, ...]
    """One for each message; they and ``generation_prompt_tokens`` add up to the prompt."""
    generation_prompt_tokens: int
    """What the template puts after the last message to make the model answer."""


class Rendered(Event, frozen=True, kw_only=True):
    """The prompt as text, special tokens spelled out."""

    is_last: ClassVar[bool] = True

    text: str
    num_tokens: int


class Delta(Event, frozen=True, kw_only=True):
    """The next piece of an answer: whole characters, raw as the model wrote them."""

    text: str
    num_tokens: int
    """Tokens generated so far, this piece included."""


class SamplingApplied(Event, frozen=True, kw_only=True):
    """All tokens after this event are drawn with these settings."""

    sampling: Sampling


class Generated(Event, frozen=True, kw_only=True):
    """The answer is over; ``finish_reason`` is never ``error`` (that is Failed)."""

    is_last: ClassVar[bool] = True

    finish_reason: FinishReason
    statistics: Statistics


class Unloaded(Event, frozen=True, kw_only=True):
    """The model's memory was given back."""

    is_last: ClassVar[bool] = True


EngineRequest = Load | Count | Render | Generate | Cancel | SetSampling | Unload
EngineEvent = (
    LoadProgress
    | Loaded
    | Counted
    | Rendered
    | Delta
    | SamplingApplied
    | Generated
    | Unloaded
    | Failed
)
