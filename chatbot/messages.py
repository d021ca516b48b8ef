"""What a conversation is made of: messages, their parts, and how an answer came about.

Values only: nothing here is stored, rendered or sent by this module.
"""

import time
import uuid
from typing import Literal

import msgspec

from chatbot.settings import Sampling

Role = Literal["system", "user", "assistant"]

FinishReason = Literal["stop", "length", "cancelled", "error"]
"""Why an answer ended: the model ended it, it reached its longest length or the end of the
context window, the user stopped it, or it broke off."""


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer cost."""

    num_prompt_tokens: int
    num_cached_tokens: int
    """Tokens of the prompt whose keys and values were still there from before."""
    num_new_tokens: int
    first_token_seconds: float
    """From the engine taking up the request to its first token."""
    decode_seconds: float
    """From the first token to the last."""

    @property
    def tokens_per_second(self) -> float:
        """Decoding speed after the first token; 0 when there was no second one."""
        if self.num_new_tokens < 2 or self.decode_seconds <= 0:
            return 0.0
        return (self.num_new_tokens - 1) / self.decode_seconds


class SettingChange(msgspec.Struct, frozen=True, kw_only=True):
    """A setting that was changed while the answer was being written."""

    offset: int
    """Length of the answer, in characters, at the moment of the change."""
    name: str
    old: str
    new: str


class Making(msgspec.Struct, frozen=True, kw_only=True):
    """How an answer came about: what made it, with which settings, and how it ended."""

    model: str
    precision: str
    device: str
    sampling: Sampling
    """As it was at the first token; ``changes`` says what changed after."""
    changes: tuple[SettingChange, ...] = ()
    finish_reason: FinishReason = "stop"
    error: str = ""
    """One sentence, when ``finish_reason`` is ``error``."""
    statistics: Statistics | None = None
    num_controls_removed: int = 0
    """Control sequences and characters that were cleaned out of the text."""


class TextPart(msgspec.Struct, frozen=True, tag="text"):
    """Plain or Markdown text, already cleaned for the terminal."""

    text: str


Part = TextPart
"""One part of a message. Other kinds (thinking, sources, tool calls) will join as a union."""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One node of the conversation tree."""

    role: Role
    parts: tuple[Part, ...]
    id: str = msgspec.field(default_factory=lambda: uuid.uuid4().hex)
    parent_id: str | None = None
    created_at: float = msgspec.field(default_factory=time.time)
    """Seconds since 1970, UTC."""
    making: Making | None = None
    """Set on answers only."""

    @property
    def text(self) -> str:
        """The text parts, joined."""
        return "".join(part.text for part in self.parts)
