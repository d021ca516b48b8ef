"""Turns as lines: run, printed as they come, and broken off by Ctrl+C.

Answers go to standard output, all else to standard error. Knows nothing of where questions come
from.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any

from chatbot.conversation.making_words import repetition_note
from chatbot.conversation.manager import ConversationManager
from chatbot.events import (
    AnswerHeld,
    PromptBuilt,
    PromptReading,
    SearchStarted,
    SettingChanged,
    SourcesFound,
    SupportFound,
    TextDelta,
    ThoughtCut,
    ThoughtDelta,
    ToolCallBegun,
    ToolCalled,
    ToolFinished,
    ToolRunning,
    TurnEvent,
    TurnFinished,
    TurnStarted,
    VariantFinished,
    VariantsEvent,
    VariantsStarted,
    VariantTextDelta,
    VariantThoughtDelta,
)
from chatbot.plain.answer_notes import left_out_line, print_sources, why_ended
from chatbot.plain.asides import AsidePrinter, print_files
from chatbot.plain.progress_line import ProgressLine
from chatbot.plain.reading_progress import ReadingPrinter
from chatbot.plain.variants import VariantsPrinter


class TurnRunner:
    """Runs one turn after the other."""

    def __init__(
        self,
        manager: ConversationManager,
        show_error: Callable[[str], None],
        *,
        is_interactive: bool,
        prepare: Callable[[], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        """Make the runner.

        Args:
            manager: the conversation.
            show_error: takes, in a sentence, why a turn failed.
            is_interactive: a person types.
            prepare: what has to be done before the first turn, or the first command that looks
                into the folders.
        """
        self.printed = ""
        """The last answer that was printed whole."""
        self._manager = manager
        self._show_error = show_error
        self._is_interactive = is_interactive
        self._is_thinking = False
        """The model thinks."""
        self._has_cut = False
        """It was told to think no longer in this turn."""
        self._prepare = prepare
        self._preparing: asyncio.Future[None] | None = None
        self._has_broken_off = False
        """The user wanted no more of it, though it may just have come to its end."""

    @property
    def is_busy(self) -> bool:
        """Whether an answer is being made, or what comes before the first one."""
        return self._manager.is_busy or self._preparing is not None

    async def run(self, events: AsyncGenerator[TurnEvent]) -> None:
        """Print an answer as it comes."""
        async with aclosing(events):
            is_stopped = not await self.prepared()
            await self._show_turn(events, is_stopped=is_stopped)

    async def run_variants(self, events: AsyncGenerator[VariantsEvent]) -> None:
        """Print several answers to one question, one after the other."""
        async with aclosing(events):
            is_stopped = not await self.prepared()
            printer, reading = VariantsPrinter(), ReadingPrinter()
            thinking: set[int] = set()
            self._has_cut = False
            async for event in events:
                if is_stopped and isinstance(event, VariantsStarted):
                    self._manager.stop()
                self._note_thinking(event, thinking)
                reading.show(event)
                printer.show(event)

    async def prepared(self) -> bool:
        """Do what comes before the first look into the folders, a question's or a command's; False
        when the user broke it off.
        """
        if self._prepare is None:
            return True
        self._preparing = asyncio.ensure_future(self._prepare())
        self._prepare = None
        try:
            await self._preparing
        except asyncio.CancelledError:
            if not self._preparing.cancelled():
                raise
        finally:
            self._preparing = None
        return not self._has_broken_off

    def interrupt(self) -> bool:
        """Have a thought end, or stop the answer or what comes before it; False where there is
        nothing to stop.
        """
        if self._preparing:
            self._has_broken_off = True
            self._preparing.cancel()
        elif self._is_thinking and self._is_interactive and not self._has_cut:
            self._has_cut = True
            ProgressLine.print("\n[the thinking ends here; Ctrl+C stops]")
            self._manager.answer_now()
        elif self._manager.is_busy:
            self._manager.stop()
        else:
            return False
        return True

    async def _show_turn(self, events: AsyncGenerator[TurnEvent], *, is_stopped: bool) -> None:
        self._has_cut = False
        asides = AsidePrinter("Ctrl+C answers now" if self._is_interactive else "")
        reading = ReadingPrinter()
        async for event in events:
            reading.show(event)
            self._is_thinking = isinstance(event, ThoughtDelta)
            match event:
                case TurnStarted() if is_stopped:
                    self._manager.stop()  # it is kept, and can be asked again
                case TurnStarted(text_so_far=text) if text and text != self.printed:
                    sys.stdout.write(text)  # it goes another way than what is to be seen above
                    sys.stdout.flush()
                case TextDelta(text=text):
                    asides.show(event)
                    sys.stdout.write(text)
                    sys.stdout.flush()
                case ThoughtDelta() | ToolCalled() | ToolFinished():
                    asides.show(event)
                case PromptBuilt(left_out=left_out) if left_out:
                    ProgressLine.print(left_out_line(left_out))
                case SettingChanged(change=change):
                    ProgressLine.print(f"[{change.name} {change.old} → {change.new}]")
                case SourcesFound(found=found) if found.notice:
                    ProgressLine.print(f"[{found.notice}]")
                case TurnFinished(answer=answer):
                    self.printed = answer.text
                    if answer.text:
                        sys.stdout.write("\n")
                        sys.stdout.flush()
                        print_sources(answer)
                    made = answer.making
                    if made and made.finish_reason == "error":
                        self._show_error(made.error)
                    elif made and made.finish_reason != "stop":
                        ProgressLine.print(f"[{why_ended(made.finish_reason)}]")
                    if sentence := repetition_note(self._manager.conversation, answer):
                        ProgressLine.print(f"[{sentence}]")
                case TurnStarted(question=question):
                    print_files(question)
                case PromptBuilt() | SearchStarted() | SourcesFound():
                    pass
                case PromptReading():
                    pass  # shown already
                case ToolCallBegun() | ToolRunning():
                    pass  # the call itself follows, or is shown already
                case AnswerHeld():
                    pass  # nothing here holds an answer
                case ThoughtCut():
                    pass  # who has it end here knows
                case SupportFound():
                    pass  # said with the list of sources

    def _note_thinking(self, event: VariantsEvent, thinking: set[int]) -> None:
        """Keep account of which of several answers think; tell what can be done about it."""
        match event:
            case VariantThoughtDelta(index=index):
                if self._is_interactive and not thinking and not self._has_cut:
                    ProgressLine.print("[thinking; Ctrl+C answers now]")
                thinking.add(index)
            case VariantTextDelta(index=index) | VariantFinished(index=index):
                thinking.discard(index)
        self._is_thinking = bool(thinking)
