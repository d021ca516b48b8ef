"""What happens during one turn, in the order in which the faces hear of it.

The conversation manager yields these; the TUI, the plain mode and ``chatbot ask`` each
render them with one ``match``. Knows nothing of who yields or renders them.
"""

from typing import Literal

import msgspec

from chatbot.messages import Message, SettingChange, SourcesPart, ToolCallPart, ToolResultPart
from chatbot.tokens import Beam, ReadingProgress


class TurnStarted(msgspec.Struct, frozen=True):
    """The question is kept, and the answer has an identity. Always the first event."""

    question: Message
    answer_id: str
    text_so_far: str = ""
    """What is there already of an answer that is gone on with."""
    num_tokens_so_far: int = 0
    """Tokens that were generated for it."""
    changes_so_far: tuple[SettingChange, ...] = ()
    """Where its settings were changed."""


class SearchStarted(msgspec.Struct, frozen=True):
    """The knowledge folders are being searched."""

    is_ready: bool
    """False: the embedding model has to be loaded first, which takes seconds."""


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
    """The question alone, without its sources and files."""
    num_source_tokens: int = 0
    """The passages that stand before the question."""
    num_file_tokens: int = 0
    """The files that are attached to the question."""
    num_tool_tokens: int = 0
    """What tells the model of its tools."""
    num_result_tokens: int = 0
    """The answer so far: its calls and what the tools said."""
    num_generated_tokens: int = 0
    """Tokens of the answer so far that were generated, and not put there."""
    num_left_out_thinking_tokens: int = 0
    """What was thought before and the model is not shown again, as its family wants it."""
    context_length: int
    room: int
    """Left for the answer."""
    left_out: tuple[str, ...] = ()
    """Ids of the messages that were left out, oldest first."""


class PromptReading(msgspec.Struct, frozen=True):
    """The model reads the prompt, and that takes a while. Comes again as it goes on."""

    progress: ReadingProgress


class TextDelta(msgspec.Struct, frozen=True):
    """A piece of the answer, cleaned for the terminal; never part of a character."""

    text: str
    num_tokens: int = 0
    """Tokens generated so far, in all rounds of the answer."""


class ThoughtDelta(msgspec.Struct, frozen=True):
    """A piece of what the model thinks before it answers, cleaned for the terminal."""

    text: str
    num_tokens: int = 0
    """Tokens generated so far, in all rounds of the answer."""
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
    | PromptReading
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

VariantsKind = Literal["variants", "sweep", "beams", "comparison"]
"""Why several answers are made at once: other seeds, other values of one setting, the beams of a
beam search; or one after the other, by several models or precisions."""


class VariantPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One of several answers that are to be made to one question."""

    answer_id: str
    number: int
    """Its place among all answers to the question, from 1: what ``/keep`` calls it."""
    label: str
    """What sets it apart from the others: ``seed 7``, ``temperature 0.3``, ``8-bit``."""


class VariantsStarted(msgspec.Struct, frozen=True, kw_only=True):
    """Several answers are to be made to one question. Always the first event."""

    question: Message
    kind: VariantsKind
    plans: tuple[VariantPlan, ...]
    """The other events name each by its index in here."""


class VariantLoading(msgspec.Struct, frozen=True):
    """The model of a variant is being loaded; how far it is, the engine's status says."""

    index: int


class VariantLoaded(msgspec.Struct, frozen=True, kw_only=True):
    """The model of a variant is there, and is asked next."""

    index: int
    model: str
    precision: str
    device: str
    weight_bytes: int


class VariantTextDelta(msgspec.Struct, frozen=True):
    """A piece of one of the answers; see ``TextDelta``."""

    index: int
    text: str
    num_tokens: int = 0


class VariantThoughtDelta(msgspec.Struct, frozen=True):
    """A piece of what is thought before one of the answers; see ``ThoughtDelta``."""

    index: int
    text: str
    num_tokens: int = 0
    num_thinking_tokens: int = 0
    seconds: float = 0.0


class VariantThoughtCut(msgspec.Struct, frozen=True):
    """One of the answers thinks no longer because the user wants it."""

    index: int


class VariantSettingChanged(msgspec.Struct, frozen=True):
    """From the next token on, one of the answers is written with another setting."""

    index: int
    change: SettingChange


class AnswersHeld(msgspec.Struct, frozen=True):
    """All answers that are being written wait before their next token, until they are let go on."""

    num_tokens: int
    """Of the longest so far."""


class BeamsShown(msgspec.Struct, frozen=True, kw_only=True):
    """Where a beam search stands; all texts are cleaned for the terminal."""

    num_tokens: int
    live: tuple[Beam, ...]
    """Those that are gone on with, the likeliest first."""
    finished: tuple[Beam, ...] = ()
    """The best that came to their end so far, the best first."""


class VariantFinished(msgspec.Struct, frozen=True):
    """One of the answers is complete and kept, however it ended; the others go on."""

    index: int
    answer: Message


class Parting(msgspec.Struct, frozen=True, kw_only=True):
    """Where an answer leaves the words of the first one."""

    index: int
    character: int | None
    """Characters that are the same; None where both answers are the same throughout."""
    token: int | None = None
    """Tokens that are the same; None where they were not recorded, or never part."""


class VariantsFinished(msgspec.Struct, frozen=True, kw_only=True):
    """All answers are siblings in the tree, and one is shown. Always the last event."""

    answers: tuple[Message, ...]
    """One for each plan, up to the last one that there is something of; but one alone where none
    was begun, or the program gave it itself."""
    kept_id: str
    """The one that is shown; ``ConversationManager.keep`` shows another."""
    partings: tuple[Parting, ...] = ()
    """Of each answer but the first, where both have text."""
    num_prompt_tokens: int = 0
    """Of the one prompt; of all of them where models were compared."""
    num_read_tokens: int = 0
    """Those of them that were not in the cache, and were read once for all answers."""
    num_new_tokens: int = 0
    """Of all answers together."""
    seconds: float = 0.0
    """What they took together, the loading of models left out."""


VariantsEvent = (
    VariantsStarted
    | SearchStarted
    | SourcesFound
    | PromptBuilt
    | PromptReading
    | VariantLoading
    | VariantLoaded
    | VariantTextDelta
    | VariantThoughtDelta
    | VariantThoughtCut
    | VariantSettingChanged
    | AnswersHeld
    | BeamsShown
    | VariantFinished
    | VariantsFinished
)
"""What happens while one question is answered several times."""
