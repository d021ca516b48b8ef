"""What the engine can be asked, and what it answers. Imports no torch.

Requests are carried out one after the other; ``Cancel``, ``SetSampling``, ``SetSamplings``,
``Hold`` and ``AnswerNow`` alone overtake, and reach running answers between two tokens.
"""

from typing import Annotated, ClassVar, Final, Literal

import msgspec

from chatbot.errors import SettingError
from chatbot.messages import FinishReason, Role, Statistics
from chatbot.settings import Precision, Sampling
from chatbot.tokens import Beam, ReadingProgress, TokenRecord
from chatbot.worker.protocol import Event, Failed, Request

MAX_VARIANTS: Final = 16
"""Most answers, and most beams, that are computed in one batch."""

ChatRole = Role | Literal["tool"]
"""A tool's result is a message of its own for the model, though not for the user."""


class ToolExample(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody may ask, and the call that answers it."""

    question: str
    arguments: str
    """A JSON object."""


class ToolSchema(msgspec.Struct, frozen=True, kw_only=True):
    """A tool as the model is told of it."""

    name: str
    """Letters, digits, ``_``, ``-`` and ``.`` alone, at most 64 characters."""
    description: str
    parameters: str = '{"type": "object", "properties": {}}'
    """JSON schema of the arguments, which are always an object."""
    example: ToolExample | None = None
    """Shown to models whose template knows no tools; small ones call nothing without any."""


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call that the model made, as the later rounds of the turn show it."""

    id: str
    name: str
    arguments: str
    """A JSON object."""
    raw: str = ""
    """As ``ToolCallReady`` gave it. With it the next prompt begins with the very tokens that
    the model wrote, so that none of them is read again."""


class ChatMessage(msgspec.Struct, frozen=True):
    """One message as the model's chat template knows it."""

    role: ChatRole
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    """On an answer: the calls that it ends with, after the content."""
    call_id: str = ""
    """On a tool's result: the call that it belongs to."""
    name: str = ""
    """On a tool's result: the tool."""
    thinking: str = ""
    """On an answer: what was thought before it. Shown to the model again only while the turn
    goes on, and only where its family does that."""


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
    num_parameters: int

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
        """``3.10 GiB on cuda:0, 2.00 GiB on cpu``; empty where all is in one place."""
        if len(self.placement) < 2:
            return ""
        shares = (f"{s.num_bytes / 2**30:.2f} GiB on {s.device}" for s in self.placement)
        return ", ".join(shares)


class Load(Request, frozen=True, kw_only=True):
    """Load a model in place of the present one. Answered by LoadProgress, then Loaded.

    A reference that cannot be resolved fails without touching the present model.
    """

    model: str
    precision: Precision = "auto"
    context_length: int = 0
    """The window that there must be room for, in tokens; 0 for what a long chat needs."""
    is_forced: bool = False
    """Load it even where it does not seem to fit; else that is refused with a ModelFitError."""
    allows_code: bool = False
    """Whether the user allowed this model to run program code of its own."""
    adapters: tuple[AdapterUse, ...] = ()
    """To begin with; the model is not loaded anew for others, see ``Adapt``."""


class Adapt(Request, frozen=True, kw_only=True):
    """Use these adapters from now on, and no others. Answered by Adapted.

    The model stays as it is; where one of the adapters cannot be used, none is changed.
    """

    adapters: tuple[AdapterUse, ...]


class Prepare(Request, frozen=True, kw_only=True):
    """Fetch, convert and check a model without loading it. Answered by LoadProgress, Prepared."""

    model: str
    allows_code: bool = False
    """See ``Load``."""


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


class Generate(Request, frozen=True, kw_only=True):
    """Continue a conversation.

    Answered by Delta, ThinkingDelta, ThinkingCut, TokensRecorded, SamplingApplied and the events of
    tool calls, then by Generated.
    """

    messages: tuple[ChatMessage, ...]
    sampling: Sampling
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


class GenerateVariants(Request, frozen=True, kw_only=True):
    """Answer one prompt several times, in one batch: the prompt is read once.

    Answered by VariantDelta, VariantThinkingCut, VariantSamplingApplied, VariantTokens and
    VariantDone of each, in any order, then by VariantsGenerated. Can be cancelled as a whole.
    """

    messages: tuple[ChatMessage, ...]
    samplings: tuple[Sampling, ...]
    """One for each answer, from 1 to ``MAX_VARIANTS``."""
    context_length: int = 0
    """See ``Generate``; and so for the others."""
    is_completion: bool = False
    stop: tuple[str, ...] = ()
    schema: str = ""
    thinking: bool | None = None
    num_alternatives: int = 0


class SearchBeams(Request, frozen=True, kw_only=True):
    """Look for the likeliest answers as wholes, by beam search.

    Answered by BeamsMoved at each step, then by VariantDelta, VariantSamplingApplied,
    VariantTokens and VariantDone of each answer that was found, the best first, and by
    VariantsGenerated. Can be cancelled.
    """

    messages: tuple[ChatMessage, ...]
    sampling: Sampling
    """Of it, the longest answer and the rules against repetition count; nothing is drawn."""
    num_beams: int
    """From 2 to ``MAX_VARIANTS``; so many answers are found."""
    length_penalty: float = 1.0
    """Power of the length by which the sum of logarithms is divided: above 0 for longer answers,
    below 0 for shorter ones."""
    context_length: int = 0
    """See ``Generate``; and so for the others."""
    is_completion: bool = False
    stop: tuple[str, ...] = ()
    thinking: bool | None = None
    num_alternatives: int = 0


class Cancel(Request, frozen=True, kw_only=True):
    """Stop the request with this id, which makes answers. Has no answer of its own."""

    target: int


class SetSampling(Request, frozen=True, kw_only=True):
    """Change how the Generate request with this id goes on. Answered there."""

    target: int
    sampling: Sampling


class SetSamplings(Request, frozen=True, kw_only=True):
    """Change how the answers of the request with this id go on. Answered there.

    Of a beam search the longest answer and the rules against repetition change.
    """

    target: int
    samplings: tuple[Sampling, ...]
    """One for each answer; for a beam search, one alone."""


class Hold(Request, frozen=True, kw_only=True):
    """Hold the request with this id between two tokens. Answered there by Held or VariantsHeld.

    What is held can be cancelled, and given other settings.
    """

    target: int
    num_steps: Annotated[int, msgspec.Meta(ge=0)] | None = 0
    """Tokens to draw, of each answer, before it is held again; None lets it go on."""


class AnswerNow(Request, frozen=True, kw_only=True):
    """Have the request with this id think no longer, and answer. Answered there by ThinkingCut,
    or by VariantThinkingCut of each answer that thinks; what is not begun to be thought is cut as
    soon as it is. A beam search goes on as it would.
    """

    target: int


class LoadProgress(Event, frozen=True, kw_only=True):
    """How far a load is."""

    stage: str
    fraction: float | None = None


class Loaded(Event, frozen=True, kw_only=True):
    """The model is ready."""

    is_last: ClassVar[bool] = True

    info: ModelInfo


class Prepared(Event, frozen=True, kw_only=True):
    """The model is there and can be loaded."""

    is_last: ClassVar[bool] = True

    folder: str
    """Where its safetensors are."""


class Adapted(Event, frozen=True, kw_only=True):
    """The adapters are in use."""

    is_last: ClassVar[bool] = True

    info: ModelInfo


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


class PromptProgress(Event, frozen=True, kw_only=True):
    """The prompt is being read. Comes where that takes long, at most ten times a second."""

    progress: ReadingProgress


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


class Generated(Event, frozen=True, kw_only=True):
    """The answer is over; ``finish_reason`` is never ``error`` (that is Failed)."""

    is_last: ClassVar[bool] = True

    finish_reason: FinishReason
    statistics: Statistics


class VariantDelta(Event, frozen=True, kw_only=True):
    """The next piece of one of several answers; see ``Delta``."""

    variant: int
    """Its index."""
    text: str
    num_tokens: int
    is_thinking: bool = False
    """It is thought before the answer; see ``ThinkingDelta``, and so for the others."""
    num_thinking_tokens: int = 0
    thinking_seconds: float = 0.0


class VariantThinkingCut(Event, frozen=True, kw_only=True):
    """The user wants this one of several answers; see ``ThinkingCut``."""

    variant: int


class VariantSamplingApplied(Event, frozen=True, kw_only=True):
    """All tokens of this answer after this event are drawn, or searched for, by these settings."""

    variant: int
    sampling: Sampling


class VariantsHeld(Event, frozen=True, kw_only=True):
    """All answers wait before their next token, and all that was drawn so far has been told."""

    num_tokens: int
    """Of the longest so far."""


class VariantTokens(Event, frozen=True, kw_only=True):
    """What the last tokens of one of several answers were drawn from."""

    variant: int
    tokens: tuple[TokenRecord, ...]


class BeamsMoved(Event, frozen=True, kw_only=True):
    """A beam search took a step."""

    num_tokens: int
    """Steps so far: what each live beam is long."""
    live: tuple[Beam, ...]
    """Those that are gone on with, the likeliest first."""
    finished: tuple[Beam, ...] = ()
    """The best that came to their end so far, the best first."""


class VariantDone(Event, frozen=True, kw_only=True):
    """One of several answers is over; the others go on."""

    variant: int
    finish_reason: FinishReason
    statistics: Statistics
    """What of the prompt was read is counted for the first answer alone: for the others all of
    it was in the cache."""
    log_probability: float | None = None
    """Of a beam; see ``Beam``."""
    score: float | None = None


class VariantsGenerated(Event, frozen=True, kw_only=True):
    """All answers are over."""

    is_last: ClassVar[bool] = True

    num_prompt_tokens: int
    num_read_tokens: int
    """Those of them that were not in the cache, and were read once for all."""
    num_new_tokens: int
    """Of all answers together."""
    seconds: float
    """From taking up the request to the last token."""


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

VariantEvent = (
    PromptProgress
    | VariantDelta
    | VariantThinkingCut
    | VariantSamplingApplied
    | VariantsHeld
    | VariantTokens
    | BeamsMoved
    | VariantDone
    | VariantsGenerated
)
"""What GenerateVariants and SearchBeams are answered by; ``Failed`` aside."""

EngineRequest = (
    Load
    | Prepare
    | Adapt
    | Count
    | Render
    | Generate
    | GenerateVariants
    | SearchBeams
    | Cancel
    | SetSampling
    | SetSamplings
    | Hold
    | AnswerNow
)
EngineEvent = (
    LoadProgress
    | Loaded
    | Prepared
    | Adapted
    | Counted
    | Rendered
    | PromptProgress
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
    | VariantDelta
    | VariantThinkingCut
    | VariantSamplingApplied
    | VariantsHeld
    | VariantTokens
    | BeamsMoved
    | VariantDone
    | VariantsGenerated
    | Failed
)
