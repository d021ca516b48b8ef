"""A prompt by itself: its sizes, its text, and how far it is read."""

from typing import ClassVar

from chatbot.engine.protocol.messages import ChatMessage, ToolSchema
from chatbot.tokens import ReadingProgress
from chatbot.worker.protocol import Event, Request


class Count(Request, frozen=True, kw_only=True):
    """How many tokens each message takes in the rendered prompt. Answered by Counted."""

    messages: tuple[ChatMessage, ...]
    continue_last: bool = False
    """See ``Generate``."""
    thinking: bool | None = None
    """See ``Generate``."""
    tools: tuple[ToolSchema, ...] = ()
    """See ``Generate``."""


class Render(Request, frozen=True, kw_only=True):
    """The very text that the model would be given. Answered by Rendered."""

    messages: tuple[ChatMessage, ...]
    continue_last: bool = False
    """See ``Generate``."""
    thinking: bool | None = None
    """See ``Generate``."""
    tools: tuple[ToolSchema, ...] = ()
    """See ``Generate``."""


class Counted(Event, frozen=True, kw_only=True):
    """Exact sizes in tokens, as the model's own template and tokenizer make them."""

    is_last: ClassVar[bool] = True

    message_tokens: tuple[int, ...]
    """One for each message; they and ``generation_prompt_tokens`` add up to the prompt."""
    generation_prompt_tokens: int
    """What the template puts after the last message to make the model answer."""
    tool_tokens: int = 0
    """How many of the first message's tokens tell the model of its tools."""
    thinking_tokens: int = 0
    """What was thought in all the messages; by most templates little or none of it is shown."""
    shown_thinking_tokens: int = 0
    """How many tokens the prompt has more than it would have without that, marks included."""


class Rendered(Event, frozen=True, kw_only=True):
    """The prompt as text, special tokens spelled out."""

    is_last: ClassVar[bool] = True

    text: str
    num_tokens: int
    typed_controls: tuple[str, ...] = ()
    """What looks like a control token in it, and is ordinary characters to the model."""


class PromptProgress(Event, frozen=True, kw_only=True):
    """The prompt is being read. Comes where that takes long, at most ten times a second."""

    progress: ReadingProgress
