"""The answer of one turn, while it is being made: what the model says goes in, and what the faces
hear of it comes out.

All that was shown of it is on the disk soon after. Knows neither how the model is asked nor the
tree.
"""

from collections.abc import Callable, Iterator, Sequence

from chatbot.conversation.draft import AnswerDraft
from chatbot.conversation.flushing import FlushTimer
from chatbot.conversation.journal import Journal
from chatbot.conversation.token_records import cleaned, known_tokens
from chatbot.conversation.turn_sources import TurnSources
from chatbot.conversation.turn_tools import TurnTools, tool_call_event
from chatbot.engine.protocol.answer import (
    AnswerEvent,
    Delta,
    Generated,
    Held,
    SamplingApplied,
    ThinkingCut,
    ThinkingDelta,
    TokensRecorded,
    ToolCallBroken,
    ToolCallReady,
    ToolCallStarted,
)
from chatbot.engine.protocol.prompt import PromptProgress
from chatbot.events import (
    AnswerHeld,
    PromptReading,
    SettingChanged,
    TextDelta,
    ThoughtCut,
    ThoughtDelta,
    ToolCallBegun,
    ToolFinished,
    TurnEvent,
    TurnStarted,
)
from chatbot.messages import FinishReason, Message, Statistics, ToolCallPart, ToolResultPart
from chatbot.settings import Sampling, Settings
from chatbot.terminal_text import clean_line
from chatbot.tokens import TokenRecord


class TurnAnswer:
    """One answer, over all the rounds of its calls."""

    def __init__(
        self,
        question: Message,
        settings: Callable[[], Settings],
        sources: TurnSources,
        tools: TurnTools,
        journal: Journal | None = None,
        begun: Message | None = None,
        records: Sequence[TokenRecord] = (),
    ) -> None:
        """Begin with an empty answer.

        Args:
            question: what it answers.
            settings: gives the settings as they are at the moment of asking.
            sources: what it may rest on.
            tools: take the calls that the model makes.
            journal: keeps it on the disk while it is being made.
            begun: an answer that is there already, to go on with.
            records: what the tokens of ``begun`` were drawn from.
        """
        self.draft = AnswerDraft(question, settings, sources, begun)
        self.records = known_tokens(begun, records) if begun else []
        """What its tokens so far were drawn from."""
        self.end: tuple[FinishReason, Statistics] | None = None
        """How the engine ended the last message of it; None while that is written."""
        before = begun.making.statistics if begun and begun.making else None
        self.num_generated = before.num_new_tokens if before else 0
        """Tokens of it, by the rounds that are over."""
        self._num_tokens = self.num_generated
        """Tokens of it up to the last piece of text."""
        self._num_before = 0
        """Tokens of it that were recorded before the round."""
        self.noted_at_start: list[SettingChanged] = []
        """Settings that the round goes on with and what there was of it was not made with."""
        self._question = question
        self._begun = begun
        self._tools = tools
        self._journal = journal
        self._flush_timer = FlushTimer(self.flush)

    @property
    def so_far(self) -> Message:
        """The answer as it stands."""
        return self.draft.as_message("interrupted", "", None)

    def started(self) -> TurnStarted:
        """What there is of it before anything comes."""
        if self._begun is None:
            return TurnStarted(self._question, self.draft.id)
        changes = self._begun.making.changes if self._begun.making else ()
        return TurnStarted(
            self._question, self.draft.id, self._begun.text, self.num_generated, changes
        )

    def begin_round(self, sampling: Sampling) -> None:
        """The model is asked for it, or for more of it after calls, with these settings."""
        is_first = self.end is None
        begin = self.draft.start if is_first else self.draft.note_changes
        self._num_before = len(self.records)
        self.noted_at_start = begin(sampling, self._num_before)
        self.end = None

    def flush(self) -> None:
        """Hand to the disk what there is of it."""
        if self._journal:
            # What is on the disk of an answer stands for the case that this program dies.
            self._journal.flush_answer(self.so_far, self.records)

    def take(self, event: AnswerEvent) -> Iterator[TurnEvent]:
        """Take in an event of the engine; yields what the faces hear of it."""
        match event:
            case PromptProgress(progress=progress):
                yield PromptReading(progress)
            case Delta(text=raw, num_tokens=num_tokens):
                self._num_tokens = self.num_generated + num_tokens
                if text := self.draft.feed(raw):
                    self._flush_timer.start()
                    yield TextDelta(text, self._num_tokens)
            case ThinkingDelta(num_thinking_tokens=size, thinking_seconds=seconds):
                if text := self.draft.feed_thinking(event.text, size, seconds):
                    self._flush_timer.start()
                    so_far = self.num_generated + event.num_tokens
                    yield ThoughtDelta(text, so_far, size, seconds)
            case ThinkingCut():
                self.draft.cut_thought()
                yield ThoughtCut()
            case ToolCallStarted(name=name):
                yield ToolCallBegun(clean_line(name, 64))
            case ToolCallReady(name=name, arguments=arguments, raw=raw):
                yield from self._note(self._tools.called(name, arguments, raw))
            case ToolCallBroken(name=name, raw=raw, reason=why):
                yield from self._note(self._tools.broken(name, raw, why))
            case TokensRecorded(tokens=records):
                self.records += map(cleaned, records)
            case Held():
                yield AnswerHeld(len(self.records))
            case SamplingApplied(sampling=sampling, num_tokens=num_tokens):
                yield from self.draft.note_changes(sampling, self._num_before + num_tokens)
            case Generated(finish_reason=reason, statistics=statistics):
                self.end = (reason, statistics)
                self.num_generated += statistics.num_new_tokens

    def _note(self, call: ToolCallPart) -> Iterator[TurnEvent]:
        """Keep a call, behind the text that stands before it."""
        if rest := self.draft.finish():
            yield TextDelta(rest, self._num_tokens)
        self.draft.put(call)
        self._flush_timer.start()
        yield tool_call_event(call)

    def put(self, result: ToolResultPart) -> None:
        """Add what became of a call."""
        self.draft.put(result)
        self._flush_timer.start()

    def close(
        self, reason: FinishReason, error: str, statistics: Statistics | None
    ) -> tuple[Message, list[TurnEvent]]:
        """Nothing more comes; returns the answer, and what the faces are still to hear of it."""
        self._flush_timer.cancel()
        rest = self.draft.finish()
        given_up = self._tools.give_up()
        for result in given_up:
            self.draft.put(result)
        answer = self.draft.as_message(reason, error, statistics)
        if self._journal and self.records:
            self._journal.keep_tokens(answer.id, self.records)
        told: list[TurnEvent] = [TextDelta(rest, self._num_tokens)] if rest else []
        told += map(ToolFinished, given_up)
        return answer, told
