"""What a conversation is made of: messages, their parts, and how an answer came about.

Values only: nothing here is stored, rendered or sent by this module.
"""

import time
import uuid
from typing import Literal

import msgspec

from chatbot.settings import Sampling, Thinking

Role = Literal["system", "user", "assistant"]

FinishReason = Literal["stop", "length", "cancelled", "error", "interrupted", "tool_calls"]
"""Why an answer ended: the model ended it, it reached its longest length or the end of the
context window, the user stopped it, it broke off, the program died while it was written, or it
called tools and waits for their results."""


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer cost."""

    num_prompt_tokens: int
    num_cached_tokens: int
    """Tokens of the prompt whose keys and values were still there from before."""
    num_new_tokens: int
    first_token_seconds: float
    """From the engine taking up the request to its first token."""
    decode_seconds: float
    """From the first token to the last; of several rounds, of each."""
    decoder: str = ""
    """Which step computed it: ``fused`` is our own, ``transformers`` the model's, ``static`` the
    model's on a cache that does not move, ``graph`` that captured; empty where it was not noted."""
    decoder_reason: str = ""
    """Why it was the model's own on a cache that grows; empty where it was not."""
    num_guessed: int = 0
    """Tokens that were guessed ahead, from what stands in the context."""
    num_guessed_right: int = 0
    """Those of them that the model wrote; each saved a step."""
    cache_bytes: int = 0
    """Memory of keys and values when it ended; 0 where it was not noted."""
    num_rounds: int = 1
    """How often it was begun or gone on with; the first token of each round is in no decoding."""

    other_first_seconds: float = 0.0
    """Of several rounds, what the others took to their first token; in no decoding either."""

    @property
    def seconds(self) -> float:
        """All that it took, from the engine taking up each round to its last token."""
        return self.first_token_seconds + self.other_first_seconds + self.decode_seconds

    @property
    def tokens_per_second(self) -> float:
        """Decoding speed after the first token of each round; 0 when there was no second one."""
        num_decoded = self.num_new_tokens - self.num_rounds
        if num_decoded < 1 or self.decode_seconds <= 0:
            return 0.0
        return num_decoded / self.decode_seconds


class SettingChange(msgspec.Struct, frozen=True, kw_only=True):
    """A setting that was changed while the answer was being written."""

    offset: int
    """Length of the answer, in characters, at the moment of the change."""
    name: str
    old: str
    new: str
    num_tokens: int | None = None
    """Tokens of the answer at that moment, what is thought or called included; None where they
    were not counted."""


class Making(msgspec.Struct, frozen=True, kw_only=True):
    """How an answer came about: what made it, with which settings, and how it ended."""

    model: str
    """Empty where ``is_by_program``, as are precision and device."""
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
    adapters: tuple[str, ...] = ()
    """The LoRA adapters that were in use, by name, and by weight where that is not 1."""
    thinking: Thinking = "auto"
    """What the model was told about thinking first; ``auto``: nothing, or it cannot be told."""
    is_by_program: bool = False
    """The program gave the answer itself: no model was asked."""
    num_beams: int = 0
    """Of the beam search that found it; 0: its tokens were drawn one by one."""
    score: float | None = None
    """What a beam search ranked it by; see ``chatbot.tokens.Beam``."""
    weight_bytes: int = 0
    """Memory of the model's weights, where models or precisions were compared."""
    varied: tuple[str, ...] = ()
    """Names of the settings that set it apart from answers that were made beside it."""


class TextPart(msgspec.Struct, frozen=True, tag="text", omit_defaults=True):
    """Plain or Markdown text, already cleaned for the terminal."""

    text: str
    is_foreign: bool = False
    """Others may have written some of it: it was piped in beside a question, or imported."""


class ThinkingPart(msgspec.Struct, frozen=True, tag="thinking"):
    """What the model wrote for itself before or between the parts of its answer."""

    text: str
    num_tokens: int = 0
    """0 where they were not counted, as in a chat from elsewhere."""
    seconds: float = 0.0
    """What it took, without the time that the answer was held."""
    is_cut: bool = False
    """The user wanted the answer before the model was done."""


class SourceScores(msgspec.Struct, frozen=True, kw_only=True):
    """Why a passage stands where it does in the ranking."""

    lexical: float | None = None
    """BM25; None where none of the query's words is in the passage."""
    dense: float | None = None
    """Cosine of the embeddings, -1 to 1; None while the passage is not embedded yet."""
    fused: float = 0.0
    """Both together, by which passages are ranked; within one query only."""
    reranked: float | None = None
    """By the cross-encoder; None where none is used."""
    relevance: float = 0.0
    """How near the passage is to the query, 0 to 1; comparable between queries, and what the
    threshold of the settings is held against."""


Verdict = Literal["used", "duplicate", "irrelevant", "beyond"]
"""What became of a passage that was found: the model was given it, it says what a better one
says, it is below the threshold, or it comes after the last one that was wanted."""


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A passage of a document, as it was found for a question."""

    title: str
    """The headings above it, joined by `` › ``; else the document's name."""
    location: str
    """Where it stands: a path with lines or a page, or an address."""
    text: str
    """The passage, as the model got it; of one that it did not get, the beginning."""
    folder: str = ""
    """The knowledge folder, as an absolute path; empty where it comes from elsewhere."""
    file: str = ""
    """The document, relative to the folder."""
    start_line: int = 0
    """First line in the document's text, from 1."""
    end_line: int = 0
    page: int | None = None
    """From 1, where the document has pages."""
    start: int = 0
    """Characters of the document's text before the passage."""
    end: int = 0
    scores: SourceScores = SourceScores()
    verdict: Verdict = "used"


class SentenceSupport(msgspec.Struct, frozen=True, kw_only=True):
    """What one sentence of an answer rests on."""

    start: int
    """Characters of the answer before the sentence."""
    end: int
    source: int | None
    """Index of the source that supports it best; None where none does."""
    score: float
    """How near that source comes to it, 0 to 1."""


class SourcesPart(msgspec.Struct, frozen=True, tag="sources"):
    """The passages that an answer could rest on."""

    sources: tuple[Source, ...]
    """What the model was given; ``[1]`` is the first."""
    candidates: tuple[Source, ...] = ()
    """What else was looked at, the best first."""
    support: tuple[SentenceSupport, ...] = ()
    """Each sentence of the answer, once it is finished."""
    query: str = ""
    """What was searched for."""
    threshold: float = 0.0
    """The relevance that was asked for."""
    is_declined: bool = False
    """Nothing was relevant, so the program said so and the model was not asked."""
    notice: str = ""
    """One sentence where the search was not what it should be: ``words only, …``."""
    seconds: float = 0.0
    """What the search took."""


class ToolCallPart(msgspec.Struct, frozen=True, kw_only=True, tag="tool_call"):
    """A tool that the model asked for."""

    id: str
    name: str
    arguments: str
    """As the model wrote them: JSON, when it got that right."""
    raw: str = ""
    """The call in the model's own tokens, for its next prompt alone: it is not cleaned."""


class ToolResultPart(msgspec.Struct, frozen=True, kw_only=True, tag="tool_result"):
    """What a tool answered. Stands behind its call, in the same answer."""

    call_id: str
    text: str
    is_error: bool = False
    seconds: float = 0.0
    """What the call took, without the time that the user thought about it."""
    approved_by: str = ""
    """Who allowed it, by the words of ``chatbot.tools.values.ApprovedBy``."""


class ImagePart(msgspec.Struct, frozen=True, kw_only=True, tag="image"):
    """A picture."""

    media_type: str
    """As in ``image/png``."""
    data: bytes


class FilePart(msgspec.Struct, frozen=True, kw_only=True, tag="file"):
    """A file that the user attached to a question, as it was then."""

    name: str
    """As the user named it: ``~/notes/plan.md``."""
    kind: str
    """The format, as users call it: ``Markdown``, ``PDF``, ``Python``."""
    text: str
    """All of it, cleaned for the terminal."""


Part = TextPart | ThinkingPart | SourcesPart | ToolCallPart | ToolResultPart | ImagePart | FilePart
"""One part of a message. A question has files, text and images; an answer holds its whole turn,
tool calls and their results included, in the order in which it came about."""


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
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))

    @property
    def is_foreign(self) -> bool:
        """Whether others may have written some of its text; see ``TextPart``."""
        return any(isinstance(part, TextPart) and part.is_foreign for part in self.parts)
