"""One answer as it is made: its text, its thoughts, its calls of tools, its tokens."""

from typing import ClassVar

from chatbot.engine.protocol.messages import ChatMessage, ToolSchema
from chatbot.engine.protocol.prompt import PromptProgress
from chatbot.messages import FinishReason, Statistics
from chatbot.settings import Sampling
from chatbot.tokens import TokenRecord
from chatbot.worker.protocol import Event, Request


class Generate(Request, frozen=True, kw_only=True):
    """Continue a conversation.

    Answered by Delta, ThinkingDelta, ThinkingCut, TokensRecorded, SamplingApplied and the events of
    tool calls, then by Generated.
    """

    messages: tuple[ChatMessage, ...]
    sampling: Sampling
    is_seed_drawn: bool = False
    """The seed is any number and not one that the user set: all that was read before is reused, and
    the answer is not made to depend on its prompt and its settings alone."""
    context_length: int = 0
    """Window in tokens; 0, or more than the model's own, means the model's own."""
    is_completion: bool = False
    """The content of the messages is the beginning of a text that is to be gone on with as it
    is: no template, no roles."""
    stop: tuple[str, ...] = ()
    """Strings before which the answer ends; they are not part of it."""
    continue_last: bool = False
    """The last message is the beginning of the answer: go on in the same sentence. The template
    then neither closes that message nor opens another one."""
    thinking: bool | None = None
    """What the model is told about thinking before it answers, where its template has a switch for
    that; None: nothing, so that it does as it was made to."""
    tools: tuple[ToolSchema, ...] = ()
    """What the model may call. An answer that calls tools ends after its last call."""
    mask_calls: bool = True
    """Whether a call, once begun, is held to the schema of its tool, token by token."""
    schema: str = ""
    """A JSON schema that the whole answer is held to; what is thought before it is not. Not
    together with ``tools``."""
    num_alternatives: int = 0
    """Likeliest tokens to record with each token; with 0 nothing is recorded."""
    begun_tokens: tuple[int, ...] = ()
    """With ``continue_last``: the tokens that the last message begins with, as they were drawn.
    They are used where their text is the message's, so that the cache holds it already."""


class Delta(Event, frozen=True, kw_only=True):
    """The next piece of an answer: whole characters, raw as the model wrote them."""

    text: str
    num_tokens: int
    """Tokens generated so far, this piece included."""


class ThinkingDelta(Event, frozen=True, kw_only=True):
    """The next piece of what the model thinks before it answers: never carried out."""

    text: str
    num_tokens: int
    """Tokens generated so far, this piece included."""
    num_thinking_tokens: int = 0
    """Tokens of this stretch of thinking so far, without the marks around it."""
    thinking_seconds: float = 0.0
    """What they took, without the time that the answer was held."""


class ThinkingCut(Event, frozen=True, kw_only=True):
    """The user wants the answer: what follows up to it is not drawn, but put there."""


class ToolCallStarted(Event, frozen=True, kw_only=True):
    """The model has begun to call a tool. ToolCallReady or ToolCallBroken follows."""

    index: int
    """Calls of this answer before it."""
    name: str


class ToolCallReady(Event, frozen=True, kw_only=True):
    """A call is complete."""

    index: int
    name: str
    arguments: str
    """A JSON object; by the tool's schema where calls are masked, else as the model would."""
    raw: str
    """What the model wrote, markers included, and what stood between it and the call before."""


class ToolCallBroken(Event, frozen=True, kw_only=True):
    """The model meant a call, but what it wrote is none."""

    index: int
    name: str
    """Empty where it never came to it."""
    raw: str
    reason: str
    """One sentence: ``The call was not finished.``"""


class TokensRecorded(Event, frozen=True, kw_only=True):
    """What the last tokens were drawn from. Comes a moment after their text, many at once."""

    tokens: tuple[TokenRecord, ...]


class Held(Event, frozen=True, kw_only=True):
    """The answer waits before its next token, and all that was drawn so far has been told."""


class SamplingApplied(Event, frozen=True, kw_only=True):
    """All tokens after this event are drawn with these settings."""

    sampling: Sampling
    num_tokens: int
    """Tokens generated before it."""


class Generated(Event, frozen=True, kw_only=True):
    """The answer is over; ``finish_reason`` is never ``error`` (that is Failed)."""

    is_last: ClassVar[bool] = True

    finish_reason: FinishReason
    statistics: Statistics


AnswerEvent = (
    PromptProgress
    | Delta
    | ThinkingDelta
    | ThinkingCut
    | ToolCallStarted
    | ToolCallReady
    | ToolCallBroken
    | TokensRecorded
    | Held
    | SamplingApplied
    | Generated
)
"""What a Generate request is answered by; ``Failed`` aside."""
