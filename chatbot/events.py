"""What happens during one turn, in the order in which the faces hear of it.

The conversation manager yields these; the TUI, the plain mode and ``chatbot ask`` each
render them with one ``match``. Knows nothing of who yields or renders them.
"""

import msgspec

from chatbot.messages import Message, SettingChange, SourcesPart, ToolCallPart, ToolResultPart


class TurnStarted(msgspec.Struct, frozen=True):
    """The question is kept, and the answer has an identity. Always the first event."""

    question: Message
    answer_id: str
    text_so_far: str = ""
    """What is there already of an answer that is gone on with."""


class SearchStarted(msgspec.Struct, frozen=True):
    """The knowledge folders are being searched."""

    folders: tuple[str, ...]


class SourcesFound(msgspec.Struct, frozen=True):
    """What the folders say about the question; follows SearchStarted."""

    found: SourcesPart


class PromptBuilt(msgspec.Struct, frozen=True, kw_only=True):
    """The prompt is fitted into the context window. All sizes are in tokens, and exact.

    Comes again for each round of tool calls, which the answer goes on after.
    """

    num_prompt_tokens: int
    """The whole prompt, the template's own tokens included."""
    num_system_tokens: int
    num_history_tokens: int
    num_question_tokens: int
    """The question alone, without its sources."""
    num_source_tokens: int = 0
    """The passages that stand before the question."""
    num_tool_tokens: int = 0
    """What tells the model of its tools."""
    num_result_tokens: int = 0
    """The answer so far: its calls and what the tools said."""
    num_left_out_thinking_tokens: int = 0
    """What was thought before and the model is not shown again, as its family wants it."""
    context_length: int
    room: int
    """Left for the answer."""
    left_out: tuple[str, ...] = ()
    """Ids of the messages that were left out, oldest first."""


class TextDelta(msgspec.Struct, frozen=True):
    """A piece of the answer, cleaned for the terminal; never part of a character."""

    text: str
    num_tokens: int = 0
    """Tokens generated so far."""


class ThoughtDelta(msgspec.Struct, frozen=True):
    """A piece of what the model thinks before it answers, cleaned for the terminal."""

    text: str
    num_tokens: int = 0
    """Tokens generated so far."""
    num_thinking_tokens: int = 0
    """Tokens of this thought so far."""
    seconds: float = 0.0
    """What they took."""


class ThoughtCut(msgspec.Struct, frozen=True):
    """The thought ends here because the user wants the answer."""


class ToolCallBegun(msgspec.Struct, frozen=True):
    """The model is writing a call of this tool."""

    name: str


class ToolCalled(msgspec.Struct, frozen=True):
    """A call is complete; it is checked, put to the user where that is due, and then run."""

    call: ToolCallPart


class ToolRunning(msgspec.Struct, frozen=True):
    """A call is allowed, and runs now."""

    call_id: str


class ToolFinished(msgspec.Struct, frozen=True):
    """What became of a call."""

    result: ToolResultPart


class SettingChanged(msgspec.Struct, frozen=True):
    """From the next token on, the answer is written with another setting."""

    change: SettingChange


class AnswerHeld(msgspec.Struct, frozen=True):
    """The answer waits before its next token, until it is let go on."""

    num_tokens: int
    """Of the answer so far."""


class SupportFound(msgspec.Struct, frozen=True):
    """Each sentence of the answer was held against the sources; comes after the last text."""

    found: SourcesPart


class TurnFinished(msgspec.Struct, frozen=True):
    """The answer is complete and kept. Always the last event, however the turn went."""

    answer: Message


TurnEvent = (
    TurnStarted
    | SearchStarted
    | SourcesFound
    | PromptBuilt
    | ThoughtDelta
    | ThoughtCut
    | TextDelta
    | ToolCallBegun
    | ToolCalled
    | ToolRunning
    | ToolFinished
    | SettingChanged
    | AnswerHeld
    | SupportFound
    | TurnFinished
)
