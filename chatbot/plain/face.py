"""The plain mode, as the slash commands see it: lines in, text out.

What a command was asked to show goes to standard output, all else to standard error. Knows
nothing of how a run is put together, and not how an answer is printed.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

from chatbot.conversation.attachments import missing_words
from chatbot.conversation.commands import complete_command, needs_folders, run_command
from chatbot.conversation.commands.knowledge import sources_list
from chatbot.conversation.commands.lens import lens_table
from chatbot.conversation.commands.setting import model_note
from chatbot.conversation.manager import ConversationManager
from chatbot.conversation.mentions import mentioned_files
from chatbot.conversation.prompt_library import PromptLibrary
from chatbot.conversation.prompt_template import FilledPrompt
from chatbot.errors import ChatbotError, SettingError
from chatbot.events import TurnEvent, VariantsEvent
from chatbot.messages import Message, SourcesPart
from chatbot.plain.answer_notes import tell_thinking
from chatbot.plain.line_input import read_line
from chatbot.plain.progress_line import ProgressLine
from chatbot.plain.prompt_filling import fill_by_questions, prompt_lines
from chatbot.plain.turns import TurnRunner
from chatbot.settings import find_spec, get_value
from chatbot.terminal_text import clean, clean_line
from chatbot.tokens import TokenRecord

LEAVE_WORDS: Final = frozenset({"quit", "exit", "bye"})

PROMPT: Final = "> "

HISTORY_SHOWN: Final = 4
"""Messages of an earlier chat that are printed when it is gone on with."""


class PlainFace:
    """Takes the user's lines, and shows what becomes of them."""

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
            prepare: what has to be done before the first question, or the first command that
                looks into the folders.
        """
        self.manager = manager
        self.has_failed = False
        self._is_interactive = is_interactive
        self._is_leaving = False
        self._turns = TurnRunner(
            manager, self._show_error, is_interactive=is_interactive, prepare=prepare
        )
        self._work: asyncio.Task[None] | None = None
        self._edited = ""
        """The question that the next one is in other words; empty when it is a new one."""

    async def run(self) -> None:
        """Read and answer lines until the user leaves or the input ends."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._interrupt)
        if self._is_interactive:
            print("Ask anything; /help lists the commands, quit leaves.", file=sys.stderr)
        try:
            while not self._is_leaving:
                try:
                    line = await read_line(PROMPT if self._is_interactive else "")
                except SettingError as error:
                    self._show_error(str(error))
                    continue
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
        files = mentioned_files(text)
        old = next((m for m in self.manager.conversation.messages() if m.id == edited), None)
        if not text.startswith("/") and (words := missing_words(text, old, files)):
            self.tell(words)
        try:
            if text.startswith("/"):
                if not needs_folders(text) or await self._turns.prepared():
                    await run_command(self, text)
            elif edited:
                await self.run_turn(self.manager.edit(text, edited, files=files))
            else:
                await self.run_turn(self.manager.reply(text, files=files))
        except ChatbotError as error:
            self._show_error(str(error))

    async def ask(self, text: str, events: AsyncGenerator[TurnEvent]) -> None:
        """See ``Face``. Nothing is typed here while an answer is written."""
        await self.run_turn(events)

    async def run_turn(self, events: AsyncGenerator[TurnEvent]) -> None:
        """See ``Face``."""
        await self._turns.run(events)

    async def run_variants(self, events: AsyncGenerator[VariantsEvent]) -> None:
        """See ``Face``."""
        await self._turns.run_variants(events)

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
        self._turns.printed = path[-1].text if path else ""
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
            self.show_note("\n".join(prompt_lines(library)))
            return None
        prompt = library.get(name)
        if not self._is_interactive:
            return prompt.fill(values)
        filled = await fill_by_questions(prompt, values)
        if filled is None:
            self.tell("[nothing is sent]")
        return filled

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
            if not (self._turns.is_busy and self.manager.settings.model == wanted):
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
        """Ctrl+C: with nothing to stop it leaves a pipe and spares a person."""
        if self._turns.interrupt():
            return
        if not self._is_interactive:
            raise KeyboardInterrupt
        self.tell("\n(Ctrl+D or quit leaves)")

    def tell(self, text: str) -> None:
        """Say something on standard error."""
        ProgressLine.print(text)

    def _show_error(self, text: str) -> None:
        self.has_failed = True
        self.tell(text)
