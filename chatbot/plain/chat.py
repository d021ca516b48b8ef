"""The plain, linear face: lines in, streamed text out.

For pipes, screen readers and terminals that cannot do more. Renders the same events as the
TUI and has the same slash commands. Answers, and what a command was asked to show, go to
standard output; asides, progress and errors go to standard error, so that a pipe carries
nothing that was not asked for. Imports no textual.
"""

import asyncio
import io
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing, nullcontext
from functools import partial
from typing import Any, Final

from chatbot.conversation.citations import source_lines, unsupported_sentences
from chatbot.conversation.commands import complete_command, run_command
from chatbot.conversation.commands.knowledge import sources_list
from chatbot.conversation.commands.lens import lens_table
from chatbot.conversation.commands.setting import model_note
from chatbot.conversation.manager import ConversationManager
from chatbot.conversation.mentions import mentioned_files
from chatbot.conversation.prompt_library import PromptLibrary
from chatbot.conversation.prompt_template import FilledPrompt, Variable
from chatbot.conversation.source_block import sources_of
from chatbot.conversation.thinking import thinking_problem
from chatbot.errors import ChatbotError, PromptUsageError
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
from chatbot.messages import Message, SourcesPart
from chatbot.plain.asides import AsidePrinter, TerminalApprover, print_files
from chatbot.plain.index_progress import IndexPrinter
from chatbot.plain.line_input import edited_lines, read_line
from chatbot.plain.load_progress import LoadPrinter
from chatbot.plain.progress_line import ProgressLine
from chatbot.plain.reading_progress import ReadingPrinter
from chatbot.plain.variants import VariantsPrinter
from chatbot.session import Session
from chatbot.settings import find_spec, get_value
from chatbot.terminal_text import clean, clean_line
from chatbot.tokens import TokenRecord

LEAVE_WORDS: Final = frozenset({"quit", "exit", "bye"})

PROMPT: Final = "> "

HISTORY_SHOWN: Final = 4
"""Messages of an earlier chat that are printed when it is gone on with."""


def print_sources(answer: Message) -> None:
    """Print the list of sources under an answer, and beside it what none of them supports."""
    found = sources_of(answer)
    if found is None or not found.sources:
        return
    print("", *source_lines(found), sep="\n", flush=True)
    for sentence in unsupported_sentences(answer.text, found):
        print(f"[in no source: {sentence}]", file=sys.stderr, flush=True)


def tell_thinking(manager: ConversationManager) -> None:
    """Say on standard error where the model does not heed what is set about thinking."""
    info = manager.engine.status.info
    if info and (problem := thinking_problem(manager.settings, info)):
        print(f"[{problem}]", file=sys.stderr, flush=True)


class PlainFace:
    """The plain mode, as the slash commands and the turn see it."""

    def __init__(
        self,
        manager: ConversationManager,
        *,
        is_interactive: bool,
        prepare: Callable[[], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        """Make the face; it reads nothing yet.

        Args:
            manager: the conversation.
            is_interactive: a person types.
            prepare: what has to be done before the first question.
        """
        self.manager = manager
        self.has_failed = False
        self._is_interactive = is_interactive
        self._is_leaving = False
        self._is_thinking = False
        """The model thinks."""
        self._has_cut = False
        """It was told to think no longer in this turn."""
        self._work: asyncio.Task[None] | None = None
        self._edited = ""
        """The question that the next one is in other words; empty when it is a new one."""
        self._printed = ""
        """The last answer that was printed whole."""
        self._prepare = prepare
        self._preparing: asyncio.Future[None] | None = None
        self._has_broken_off = False
        """The user wanted no more of it, though it may just have come to its end."""

    async def run(self) -> None:
        """Read and answer lines until the user leaves or the input ends."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._interrupt)
        if self._is_interactive:
            print("Ask anything; /help lists the commands, quit leaves.", file=sys.stderr)
        try:
            while not self._is_leaving:
                line = await read_line(PROMPT if self._is_interactive else "")
                if line is None:
                    if self._is_interactive:
                        self.tell("")
                    break
                if text := clean(line).strip():
                    await self.take(text)
                elif self._edited:
                    self._edited = ""
                    self.tell("The question is as it was.")
        finally:
            if self._work:
                self._work.cancel()  # or the end of the engine would look like its failure

    async def take(self, text: str) -> None:
        """Deal with one line: a question, a command, or a word to leave."""
        if text.lower() in LEAVE_WORDS:
            self.leave()
            return
        edited, self._edited = self._edited, ""
        try:
            if text.startswith("/"):
                await run_command(self, text)
            elif edited:
                await self.run_turn(self.manager.edit(text, edited, files=mentioned_files(text)))
            else:
                await self.run_turn(self.manager.reply(text, files=mentioned_files(text)))
        except ChatbotError as error:
            self._show_error(str(error))

    async def run_turn(self, events: AsyncGenerator[TurnEvent]) -> None:
        """See ``Face``."""
        async with aclosing(events):
            is_stopped = not await self._prepared()
            await self._show_turn(events, is_stopped=is_stopped)

    async def run_variants(self, events: AsyncGenerator[VariantsEvent]) -> None:
        """See ``Face``. The answers are printed one after the other."""
        async with aclosing(events):
            is_stopped = not await self._prepared()
            printer, reading = VariantsPrinter(), ReadingPrinter()
            thinking: set[int] = set()
            self._has_cut = False
            async for event in events:
                if is_stopped and isinstance(event, VariantsStarted):
                    self.manager.stop()
                self._note_thinking(event, thinking)
                reading.show(event)
                printer.show(event)

    def _note_thinking(self, event: VariantsEvent, thinking: set[int]) -> None:
        """Keep account of which of several answers think; tell what can be done about it."""
        match event:
            case VariantThoughtDelta(index=index):
                if self._is_interactive and not thinking and not self._has_cut:
                    self.tell("[thinking; Ctrl+C answers now]")
                thinking.add(index)
            case VariantTextDelta(index=index) | VariantFinished(index=index):
                thinking.discard(index)
        self._is_thinking = bool(thinking)

    async def _prepared(self) -> bool:
        """Do what comes before the first question; False when the user broke it off."""
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

    async def _show_turn(self, events: AsyncGenerator[TurnEvent], *, is_stopped: bool) -> None:
        self._has_cut = False
        asides = AsidePrinter("Ctrl+C answers now" if self._is_interactive else "")
        reading = ReadingPrinter()
        async for event in events:
            reading.show(event)
            self._is_thinking = isinstance(event, ThoughtDelta)
            match event:
                case TurnStarted() if is_stopped:
                    self.manager.stop()  # it is kept, and can be asked again
                case TurnStarted(text_so_far=text) if text and text != self._printed:
                    sys.stdout.write(text)  # it goes another way than what is to be seen above
                    sys.stdout.flush()
                case TextDelta(text=text):
                    asides.show(event)
                    sys.stdout.write(text)
                    sys.stdout.flush()
                case ThoughtDelta() | ToolCalled() | ToolFinished():
                    asides.show(event)
                case PromptBuilt(left_out=left_out) if left_out:
                    self.tell(f"[{len(left_out)} earlier messages are left out of the prompt]")
                case SettingChanged(change=change):
                    self.tell(f"[{change.name} {change.old} → {change.new}]")
                case SourcesFound(found=found) if found.notice:
                    self.tell(f"[{found.notice}]")
                case TurnFinished(answer=answer):
                    self._printed = answer.text
                    if answer.text:
                        sys.stdout.write("\n")
                        sys.stdout.flush()
                        print_sources(answer)
                    made = answer.making
                    if made and made.finish_reason == "error":
                        self._show_error(made.error)
                    elif made and made.finish_reason != "stop":
                        self.tell(f"[{why_ended(made.finish_reason)}]")
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

    def show_note(self, markdown: str) -> None:
        """See ``Face``. What the user asked to see is output, not an aside."""
        print(markdown, flush=True)

    def show_conversation(self) -> None:
        """See ``Face``. What scrolled by cannot be drawn anew, so the change is said."""
        path = self.manager.conversation.path()
        self.tell(f"[the chat now has {len(path)} messages]" if path else "[an empty chat]")

    def show_history(self) -> None:
        """Print the end of the chat that is gone on with, so that the user knows where it is."""
        path = self.manager.conversation.path()
        self.tell(f"[{self.manager.conversation.title}: {len(path)} messages]")
        for message in path[-HISTORY_SHOWN:]:
            mark = PROMPT if message.role == "user" else ""
            self.tell(f"{mark}{message.text.strip()}")
        self._printed = path[-1].text if path else ""
        made = path[-1].making if path else None
        if path and path[-1].id in self.manager.written_elsewhere:
            self.tell("[another running chatbot is writing this answer]")
        elif made and made.finish_reason in ("interrupted", "cancelled"):
            self.tell("[the answer was cut off; /continue goes on with it]")

    def begin_edit(self, question: Message) -> None:
        """See ``Face``. A line of input cannot be filled in everywhere, so it is shown."""
        self._edited = question.id
        self.tell(
            f"The question was: {question.text}\nType it anew; an empty line leaves it as it was."
        )

    async def fill_prompt(
        self, library: PromptLibrary, name: str, values: Mapping[str, str]
    ) -> FilledPrompt | None:
        """See ``Face``. Without a name the prompts are listed; what is missing is asked for."""
        for problem in library.problems:
            self._show_error(problem)
        if not name:
            self.show_note("\n".join(_prompt_lines(library)))
            return None
        prompt = library.get(name)
        given = dict(values)
        while self._is_interactive and (missing := prompt.missing(given)):
            answer = await self._ask_for(missing[0])
            if answer is None:
                self.tell("[nothing is sent]")
                return None
            given[missing[0].name] = answer
        return prompt.fill(given)

    async def _ask_for(self, variable: Variable) -> str | None:
        """A value for a variable, in one line; None when the user gives none."""
        about = variable.description
        if variable.choices:
            about = f"{about}; one of {', '.join(variable.choices)}".removeprefix("; ")
        question = f"{variable.name} ({about}): " if about else f"{variable.name}: "
        while line := await read_line(question):
            value = clean(line).strip()
            try:
                variable.check(value)
            except PromptUsageError as error:
                self.tell(str(error))
            else:
                return value or None
        return None

    def copy_text(self, text: str) -> None:
        """See ``Face``."""
        import base64

        if not sys.stdout.isatty():
            self._show_error("There is no terminal to copy to.")
            return
        payload = base64.b64encode(text.encode()).decode()
        sys.stdout.write(f"\x1b]52;c;{payload}\x07")  # our own, never the model's
        sys.stdout.flush()
        self.tell("[copied]")

    def show_models(self) -> None:
        """Say what is loaded; ``chatbot models`` lists all."""
        self.show_note(model_note(self.manager))

    def load_model(self) -> None:
        """See ``Face``."""
        self._work = asyncio.create_task(self._load_model())

    async def _load_model(self) -> None:
        wanted = self.manager.settings.model
        try:
            await self.manager.load_model()
            tell_thinking(self.manager)
        except ChatbotError as error:
            # A turn that waits for the same model says the same.
            is_answering = self.manager.is_busy or self._preparing is not None
            if not (is_answering and self.manager.settings.model == wanted):
                self._show_error(str(error))

    def show_settings(self, changed: str = "") -> None:
        """See ``Face``."""
        if changed:
            spec = find_spec(changed)
            value = spec.format(get_value(self.manager.settings, spec.name))
            self.tell(f"[{spec.name} = {clean_line(value, 60)}]")

    def show_lens(self, answer_id: str, records: Sequence[TokenRecord]) -> None:
        """See ``Face``. A table of the places where the model was least certain."""
        self.show_note(lens_table(records))

    def show_sources(self, found: SourcesPart) -> None:
        """See ``Face``."""
        self.show_note(sources_list(found))

    def complete(self, line: str) -> list[str]:
        """Every line that ``line`` could become."""
        return [completion.line for completion in complete_command(self, line)]

    @property
    def theme_names(self) -> Sequence[str]:
        """None."""
        return ()

    def set_theme(self, name: str) -> None:
        """See ``Face``."""
        self._show_error("The plain mode has no colours; themes are for the TUI.")

    def leave(self) -> None:
        """See ``Face``."""
        self._is_leaving = True

    def _interrupt(self) -> None:
        """Ctrl+C: has a thought end, and stops an answer; with none running it leaves a pipe and
        spares a person.
        """
        if self._preparing:
            self._has_broken_off = True
            self._preparing.cancel()
        elif self._is_thinking and self._is_interactive and not self._has_cut:
            self._has_cut = True
            self.tell("\n[the thinking ends here; Ctrl+C stops]")
            self.manager.answer_now()
        elif self.manager.is_busy:
            self.manager.stop()
        elif self._is_interactive:
            self.tell("\n(Ctrl+D or quit leaves)")
        else:
            raise KeyboardInterrupt

    def tell(self, text: str) -> None:
        """Say something on standard error."""
        ProgressLine.print(text)

    def _show_error(self, text: str) -> None:
        self.has_failed = True
        self.tell(text)


def _prompt_lines(library: PromptLibrary) -> list[str]:
    lines = ["**Prompts**", ""]
    for prompt in library.prompts.values():
        names = " ".join(f"{v.name}=" for v in prompt.fields)
        lines.append(
            f"- `/prompt {prompt.name}` {prompt.description}." + (f" `{names}`" if names else "")
        )
    return lines


def why_ended(reason: str) -> str:
    """A reason other than that the model was done, in words."""
    reasons = {"cancelled": "stopped", "length": "the longest answer or the window's end"}
    return reasons.get(reason, reason)


async def prepare_first(session: Session) -> None:
    """Bring the folders up to date, and show how that goes, before the first question; have the
    tools listed.

    Raises:
        ChatbotError: it cannot be done, or the user broke it off.
    """
    printer = IndexPrinter()
    session.retrieval.on_status(printer.show)
    try:
        await session.knowledge.bring_up_to_date()
    finally:
        printer.close()
    await session.tools.started()


async def run_plain(session: Session, resume: str | None = None) -> int:
    """Run the plain mode; returns the exit status.

    Args:
        session: the pieces of this run.
        resume: the chat to go on with; see ``Session.resume``.

    With a person at the keyboard an error is something they saw and dealt with, so the
    status is 0; in a pipe it is 1.
    """
    is_interactive = sys.stdin.isatty()
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding=None if is_interactive else "utf-8", errors="replace")
    async with session:
        manager = session.manager
        printer = LoadPrinter(lambda: manager.is_busy or not is_interactive)
        session.engine.on_status(printer.show)
        for problem in session.problems:
            print(problem, file=sys.stderr)
        # A pipe does not ask again: its first question has to find everything.
        prepare = None if is_interactive else partial(prepare_first, session)
        face = PlainFace(session.manager, is_interactive=is_interactive, prepare=prepare)
        session.on_problem(face.tell)
        if is_interactive:
            session.tools.approver = TerminalApprover(read_line)
        if resume is not None:
            await session.resume(resume)
            if is_interactive:
                face.show_history()
        face.load_model()
        if is_interactive:
            session.knowledge.start()
            session.tools.start()
        with edited_lines(face.complete) if is_interactive else nullcontext():
            await face.run()
        return int(face.has_failed and not is_interactive)
