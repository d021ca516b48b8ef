"""The full-screen program: puts the widgets together and drives the conversation.

What happens in a turn arrives as typed events and is rendered by one ``match``; what the
user does arrives as messages of the widgets and as actions of the key table.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final, TypeVar

from textual import on, work
from textual.app import App, ComposeResult, SystemCommand
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.driver import Driver
from textual.events import Event, InputEvent, Key, Resize
from textual.screen import ModalScreen, Screen
from textual.widget import Widget
from textual.widgets import Input, TextArea
from textual.worker import Worker

from chatbot.conversation.attachments import attached_names, missing_words, names_to_read
from chatbot.conversation.commands import complete_command, run_command
from chatbot.conversation.making_words import repetition_note
from chatbot.conversation.prompt_library import PromptLibrary
from chatbot.conversation.prompt_template import FilledPrompt
from chatbot.engine.client import EngineStatus
from chatbot.errors import ChatbotError, ThemeError
from chatbot.events import PromptBuilt, TurnEvent, VariantsEvent
from chatbot.messages import Message, SourcesPart
from chatbot.session import Session
from chatbot.tui.asking import Asking
from chatbot.tui.chat import markdown
from chatbot.tui.chat.chat_view import ChatView
from chatbot.tui.chat.message_actions import act_on_message
from chatbot.tui.chat.message_views import AnswerView, MessageView
from chatbot.tui.chat.panes import ChatPanes, DrawnTurn
from chatbot.tui.chat.turn_rendering import render_turn, show_path
from chatbot.tui.command_hints import CommandHints
from chatbot.tui.context_ribbon import ContextRibbon
from chatbot.tui.drawing.compositing import SparingScreen
from chatbot.tui.drawing.garbage import IdleCollector
from chatbot.tui.keyboard import patient
from chatbot.tui.keys import bind, shown_keys, with_keys
from chatbot.tui.message_keys import MessageKeys
from chatbot.tui.notices import MOST_NOTICES, NOTICE_SECONDS, NoticingApp
from chatbot.tui.palette import palette_commands
from chatbot.tui.prompt import Prompt, Sent
from chatbot.tui.prompt_account import COUNT_DELAY, PromptAccount
from chatbot.tui.screen_config import load_screen_config
from chatbot.tui.sidebar.adapters_watch import AdaptersWatch
from chatbot.tui.sidebar.knowledge_watch import KnowledgeWatch
from chatbot.tui.sidebar.setting_controls import SettingChosen
from chatbot.tui.sidebar.settings_watch import SettingsWatch
from chatbot.tui.sidebar.sidebar import Sidebar
from chatbot.tui.sidebar.tools_watch import ToolsWatch
from chatbot.tui.status_line import StatusLine
from chatbot.tui.waiting import WaitingQuestions

if TYPE_CHECKING:
    from chatbot.conversation.knowledge import Knowledge
    from chatbot.tokens import TokenRecord
    from chatbot.tools.values import ApprovalRequest, Decision
    from chatbot.tui.sidebar.adapter_list import AdapterList, AdapterPanel
    from chatbot.tui.sidebar.folder_list import FolderList
    from chatbot.tui.sidebar.tool_list import ToolList

EventT = TypeVar("EventT")

LOOK_ELSEWHERE_SECONDS = 1.0
"""Between two looks at what another running chatbot writes."""

WIDE_ENOUGH = 110
"""Columns from which the sidebar is open at the start."""

_BEHIND_A_DIALOG: Final = frozenset(
    (
        *("chats", "command_palette", "focus_messages", "help", "knowledge", "models"),
        *("new_chat", "prompts"),
        *("scroll_chat", "toggle_sidebar"),
    )
)
"""Actions that would change, out of sight, what a dialog covers; their keys are the dialog's."""


class ChatApp(NoticingApp):
    """The chat, as a full-screen terminal program."""

    CSS_PATH: ClassVar = [
        "chatbot.tcss",  # first: the others say what is otherwise in their rooms
        "approval_screen.tcss",
        "chat/chat.tcss",
        "chats_screen.tcss",
        "help_screen.tcss",
        "knowledge/knowledge.tcss",
        "lens/lens.tcss",
        "models/models.tcss",
        "prompts/prompts.tcss",
        "sidebar/sidebar.tcss",
        "variants/variants.tcss",
    ]
    TITLE = "chatbot"
    COMMAND_PALETTE_BINDING = "ctrl+p"
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("stop"),
        bind("interrupt"),
        bind("hold", priority=True),
        bind("step", priority=True),
        bind("answer_now"),
        bind("toggle_sidebar", priority=True),
        bind("new_chat", priority=True),
        bind("chats", priority=True),
        bind("ribbon", priority=True),
        bind("knowledge", priority=True),
        bind("models", priority=True),
        bind("prompts", priority=True),
        bind("palette", "command_palette", priority=True),
        bind("help", priority=True),
        bind("quit", priority=True),
        bind("scroll_up", "scroll_chat(-1)", priority=True),
        bind("scroll_down", "scroll_chat(1)", priority=True),
        bind("focus_messages", priority=True),
    ]

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.manager = session.manager
        self.manager.can_come_back = True
        screen = load_screen_config(session.config)
        for theme in screen.themes.values():
            self.register_theme(theme)
        self.theme_names = tuple(screen.themes)
        self._choose_first_theme(screen.theme)
        self._keymap_wanted = screen.keymap
        self._screen_problems = screen.problems
        self._prompt = Prompt(self._send, lambda: self.asking.take_back_last(), self.key_of("help"))
        self._message_keys = MessageKeys(self, lambda: self._chat, self._prompt, screen.keymap)
        self._hints = CommandHints(partial(complete_command, self))
        self._waiting = WaitingQuestions(self.key_of("earlier"))
        self.asking = Asking(
            self.manager, self._prompt, self._waiting, self._ask, self._is_dealing_with_nothing
        )
        self._ribbon = ContextRibbon(id="ribbon")
        self._status = StatusLine(id="status")
        self._account = PromptAccount(self.manager, self._prompt, self._ribbon, self._status)
        self._panes = ChatPanes(
            lambda: ChatView(self.key_of),
            self.manager.conversation,
            self._status,
            self._account,
            lambda: self.manager.is_held,
        )
        self._sidebar = Sidebar(self.manager.settings, self.theme_names)
        self._settings = SettingsWatch(self, self.manager, self._sidebar, self._status)
        self._knowledge = KnowledgeWatch(self, session.knowledge)
        self._tools = ToolsWatch(self, self._sidebar, session.tools)
        self._adapters = AdaptersWatch(self, self._sidebar, session.engine)
        self._garbage = IdleCollector(self, lambda: self.manager.is_busy)

    @property
    def _chat(self) -> ChatView:
        """The pane of the chat that is open."""
        return self._panes.shown

    def get_driver_class(self) -> type[Driver]:
        return patient(super().get_driver_class())

    def get_default_screen(self) -> Screen[None]:
        return SparingScreen()

    def compose(self) -> ComposeResult:
        with Horizontal(id="main"):
            with Vertical(id="left"):
                yield self._chat
                yield self._hints
                yield self._waiting
                yield self._prompt
                yield self._ribbon
                # Below the chat alone: what changes at once is drawn as the one rectangle that
                # holds all of it, which is not to reach into the sidebar.
                yield self._status
            yield self._sidebar

    def on_mount(self) -> None:
        self.set_keymap(self._keymap_wanted)
        self._sidebar.display = self.size.width >= WIDE_ENOUGH
        self._hints.display = self._waiting.display = False
        self._prompt.focus()
        with contextlib.suppress(NotImplementedError):  # Windows has no such signals
            for number in (signal.SIGTERM, signal.SIGHUP):
                asyncio.get_running_loop().add_signal_handler(number, self._end_by_signal, number)
        self.watch(self.screen, "focused", self._message_keys.show, init=False)
        self.session.engine.on_status(self._show_status)
        self.session.on_problem(self.refuse)
        if len(self.manager.conversation):
            self.show_conversation()
        self.call_after_refresh(self._finish_start)

    def on_resize(self, event: Resize) -> None:
        self._sidebar.fit(event.size.width)

    async def _finish_start(self) -> None:
        """Do what would have held up the first frame."""
        problems = [*self.session.problems, *self._screen_problems]
        if num_others := len(problems[MOST_NOTICES:]):
            others = f"{num_others + 1} further entries are not used: chatbot doctor names all."
            problems[MOST_NOTICES - 1 :] = [others]
        for problem in problems:
            self.notify(problem, severity="warning", timeout=15, markup=False)
        if self.session.store:
            self.asking.bring_back_unsent()
        self.load_model()
        await self._sidebar.fill()
        self.run_worker(markdown.prepare, thread=True, group="prepare")
        self._knowledge.start()
        self._tools.start()
        self._garbage.start()

    async def on_event(self, event: Event) -> None:
        if isinstance(event, InputEvent):
            if not self.screen_stack:  # all is put away: nobody can take it any more
                return
            self._garbage.note_input()
        if isinstance(event, Key):
            self._chat.give_way()
            if isinstance(self.screen, SparingScreen):
                self.screen.key_pause.begin()
        if await self._message_keys.took(event):
            return
        await super().on_event(event)

    async def on_unmount(self) -> None:
        self._keep_unsent()
        await self.session.close_workers()

    def _keep_unsent(self) -> None:
        if self.session.store:
            self.asking.keep_unsent()

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """What the palette (Ctrl+P) offers."""
        return palette_commands(self)

    # What the user does

    def _send(self, sent: Sent) -> None:
        """Carry out a command now; questions are asked one after the other."""
        self._chat.dim_from(None)
        if sent.edited or sent.text.startswith("/"):
            self.take(sent.text, is_typed=True, edited=sent.edited, attached=sent.attached)
        else:
            self.asking.add(sent)

    def _ask(self, question: Sent) -> None:
        attached, events = question.attached, question.events
        self.take(question.text, is_typed=True, attached=attached, events=events)

    def _is_dealing_with_nothing(self) -> bool:
        return all(worker.is_finished for worker in self.workers if worker.group == "turn")

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        if event.worker.group == "turn":
            self.asking.ask_next()

    @work(group="turn")
    async def take(
        self,
        text: str,
        *,
        is_typed: bool = False,
        edited: Message | None = None,
        attached: Sequence[str] = (),
        events: AsyncGenerator[TurnEvent] | None = None,
    ) -> None:
        """Carry out a command, or ask a question, or one in other words than ``edited``; what was
        typed comes back when it fails.

        Args:
            text: what it is.
            is_typed: it stood in the prompt.
            edited: the question that it is in other words.
            attached: names of the files that were said to go with it.
            events: asks and answers the question, where that is otherwise than it says itself.
        """
        files = names_to_read(text, edited, attached)
        is_plain = events is None and not text.startswith("/")
        if is_plain and (words := missing_words(text, edited, files)):
            self.tell(words)
        try:
            if events:
                await self.run_turn(events)
            elif not is_plain:
                await run_command(self, text)
            elif edited:
                await self.run_turn(self.manager.edit(text, edited.id, files=files))
            else:
                await self.run_turn(self.manager.reply(text, files=files))
        except ChatbotError as error:
            self.refuse(str(error))
            if not self.manager.is_busy:
                self.asking.take_back_all()
            if edited and edited.id in self.manager.conversation:
                self.begin_edit(edited)
                self._prompt.propose(text)
            elif is_typed:
                self._prompt.give_back(text)
        self.show_title()  # /rename changes it, say

    @on(Prompt.Changed)
    def _hint(self) -> None:
        self._hints.show_for(self._prompt.typed)
        self._prompt.show_attached(attached_names(self._prompt.text, self._prompt.edited))
        self.count_context(COUNT_DELAY)

    @work(group="count", exclusive=True)
    async def count_context(self, delay: float = 0.0) -> None:
        """Show what the next prompt would consist of, with what stands in the prompt box.

        Args:
            delay: seconds to wait for more typing; a later call takes this one's place.
        """
        await self._account.count(delay)

    @on(Prompt.CompletionWanted)
    def _complete(self, event: Prompt.CompletionWanted) -> None:
        self._hints.show_for(self._prompt.typed)  # the cursor may be elsewhere by now
        longer = self._hints.longer if event.is_extended else None
        if longer:
            self._prompt.go_on_with(longer)
        elif chosen := self._hints.choose(event.step):
            self._prompt.show_choice(chosen)
        elif not event.is_extended and event.step > 0:
            self._prompt.action_cursor_down()

    @on(Prompt.EditorWanted)
    @work(group="editor")
    async def _edit_outside(self) -> None:
        from chatbot.tui.external_editor import edit_text, terminal_given_away

        try:
            with terminal_given_away(self):
                text = await edit_text(self._prompt.text)
        except ChatbotError as error:
            self.refuse(str(error))
        else:
            self._prompt.propose(text)

    @on(SettingChosen)
    def _set(self, event: SettingChosen) -> None:
        self._settings.set(event)

    # By their names, because the classes are not there before the first frame.
    def on_folder_list_switched(self, event: "FolderList.Switched") -> None:
        self._knowledge.switch(event.path, is_on=event.is_on)

    def on_adapter_list_changed(self, event: "AdapterList.Changed") -> None:
        self._change_adapters(self._adapters.change(event.row))

    def on_adapter_list_removed(self, event: "AdapterList.Removed") -> None:
        self._change_adapters(self._adapters.remove(event.path))

    def on_adapter_panel_added(self, event: "AdapterPanel.Added") -> None:
        self._change_adapters(self._adapters.add(event.text))

    @work(group="adapters")
    async def _change_adapters(self, change: Awaitable[None]) -> None:
        await change

    def on_tool_list_switched(self, event: "ToolList.Switched") -> None:
        self._tools.switch(event.name, is_on=event.is_on)

    def on_tool_list_policy_chosen(self, event: "ToolList.PolicyChosen") -> None:
        self._tools.set_policy(event.name, event.policy)

    @on(ChatView.FocusLost)
    def _refocus(self) -> None:
        self.call_after_refresh(self._focus_something)  # another message may be about to have it

    def _focus_something(self) -> None:
        if self.focused is None:
            self._prompt.focus()

    @on(MessageView.Acted)
    async def _act(self, event: MessageView.Acted) -> None:
        await self._act_on(event.view, event.action)

    async def action_act_on_message(self, action: str) -> None:
        """Do what a key of a message does to the one that has the focus."""
        if isinstance(self.focused, MessageView):
            await self._act_on(self.focused, action)

    async def _act_on(self, view: MessageView, action: str) -> None:
        try:
            if action == "next_message" and not self._chat.focus_message(view, 1):
                self._message_keys.go_to_prompt()
            elif action == "previous_message":
                self._chat.focus_message(view, -1)
            elif action != "next_message":
                await act_on_message(self, self._chat, view, action)
        except ChatbotError as error:
            self.refuse(str(error))

    # Actions of the key table

    def action_stop(self) -> None:
        """Stop the answer, put away what is listed above the prompt, or leave the editing of a
        question; with none of them, go back to the prompt, and take away what was said in passing.
        """
        if self.manager.is_answering:
            self._chat.focus_next_answer(is_wanted=False)
            self._stop_answer()
        elif self._hints.display:
            self._hints.put_away()
        elif not self._end_edit():
            self.clear_notifications()
            self._message_keys.go_to_prompt()

    def action_interrupt(self) -> None:
        """Reached only when nothing is selected that could be copied."""
        if self.manager.is_answering:
            self._stop_answer()
        elif self._prompt.put_away():
            self.tell(with_keys(self, "{earlier} brings it back; {quit} ends the program."))
        else:
            self.tell(with_keys(self, "{quit} ends the program."))

    def _stop_answer(self) -> None:
        """End the running answer; what was to be asked after it comes back into the prompt."""
        self.asking.take_back_all()
        self.manager.stop()

    def action_hold(self) -> None:
        """Hold the answer between two tokens, or let it go on."""
        self._hold(None if self.manager.is_held else 0)

    def action_step(self) -> None:
        """Draw one more token, and hold there."""
        self._hold(1)

    def action_answer_now(self) -> None:
        """End the thinking, so that the answer comes now."""
        try:
            self.manager.answer_now()
        except ChatbotError as error:
            self.refuse(str(error))

    def _hold(self, num_steps: int | None) -> None:
        if self.manager.is_answering:
            self.manager.hold(num_steps)
            if num_steps == 0 and not self.manager.has_begun:
                key = self.key_of("hold")
                self.notify(f"Held before the first token; {key} lets it go on.", markup=False)
        else:
            self.notify("There is no answer being written that could be held.")

    @work(group="lens", exclusive=True)
    async def open_lens(self, answer_id: str) -> None:
        """Show an answer token by token; what is chosen there, the answer goes on with."""
        from chatbot.tui.lens.opening import open_lens

        await open_lens(self, answer_id)

    def action_toggle_sidebar(self) -> None:
        """Show or hide the settings."""
        self._sidebar.display = not self._sidebar.display
        if self._sidebar.display:
            self._sidebar.focus_first()
        else:
            self._message_keys.go_to_prompt()

    def action_new_chat(self) -> None:
        """Begin a new chat."""
        self.take("/new")

    def action_chats(self) -> None:
        """List the chats, and search through them."""
        from chatbot.tui.chat_opening import open_chats

        if self.session.store is None:
            self.refuse("Chats are not kept in this run.")
        else:
            open_chats(self, self.session.store)

    async def go_to_message(self, message_id: str) -> None:
        """Show a message of the branch that is drawn, however far up, and focus it."""
        await self._chat.go_to(message_id)

    def action_ribbon(self) -> None:
        """Open or close the account of the context window."""
        self._ribbon.toggle()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Whether an action of the app makes sense now."""
        covered = isinstance(self.screen, ModalScreen)
        return not (covered and action in _BEHIND_A_DIALOG)

    def action_knowledge(self) -> None:
        """Show the knowledge folders."""
        self._knowledge.open_knowledge()

    def action_models(self) -> None:
        """Show all models, and whether each fits."""
        from chatbot.tui.models.loading import open_models

        open_models(self)

    def show_models(self) -> None:
        """As ``action_models``, for a command."""
        self.action_models()

    def action_prompts(self) -> None:
        """Choose a prompt of the library; what is in the message box is its input."""
        from chatbot.tui.prompts.choosing import choose_prompt

        choose_prompt(self, self._prompt)

    def action_help(self) -> None:
        """Show the help page."""
        from chatbot.tui.help_screen import HelpScreen

        self.open_screen(HelpScreen(self._keymap_wanted))

    def action_scroll_chat(self, direction: int) -> None:
        """Scroll the chat by most of a page."""
        step = max(self._chat.size.height - 2, 1)
        self._chat.release_anchor()
        self._chat.scroll_relative(y=direction * step, animate=False, immediate=True)

    def action_focus_messages(self) -> None:
        """Go from the prompt to the last message."""
        self._chat.focus_message(None, 0)

    # What commands and turns need of a face (see conversation.commands.Face)

    async def ask(self, text: str, events: AsyncGenerator[TurnEvent]) -> None:
        """Have a question wait until it is its turn."""
        self.asking.add(Sent(text, events=events))

    async def run_turn(self, events: AsyncGenerator[TurnEvent]) -> None:
        """Render a turn as it happens."""
        self._status.is_busy = True
        turn = self._panes.begin_turn(self.manager.conversation)
        try:
            async with aclosing(events):  # whatever becomes of the drawing, the turn ends
                await render_turn(
                    self._accompanied(events, turn.follow),
                    turn.chat,
                    turn.conversation,
                    device=lambda: self._status.device,
                    tokens_of=self.manager.tokens_of,
                    keys_when_held=f"{self.key_of('hold')} go on · {self.key_of('step')} draw "
                    "one more",
                    keys_when_thinking=f"{self.key_of('answer_now')} answer now",
                )
            if turn.answer:
                self._say_how_it_ended(turn, turn.answer)
        finally:
            self._status.is_busy = self.manager.is_busy
            self._panes.end_turn(turn)
            self.show_title()
            self.count_context()

    async def _accompanied(
        self, events: AsyncGenerator[EventT], follow: Callable[[EventT], None]
    ) -> AsyncGenerator[EventT]:
        """The same events, each told to ``follow``; the first one in the chat that is open ends the
        editing of a question there."""
        async with aclosing(events):
            async for event in events:
                if self._prompt.edited and not self.manager.left:
                    self._end_edit()
                follow(event)
                yield event

    def _say_how_it_ended(self, turn: DrawnTurn, answer: Message) -> None:
        """Say that an answer repeats another one, or is there; after one that failed, nothing more
        is asked."""
        has_failed = answer.making is not None and answer.making.finish_reason == "error"
        if not turn.is_in_sight:
            title = turn.conversation.title
            ended = "failed" if has_failed else "is there"
            self.tell(f"The answer in “{title}” {ended}; {self.key_of('chats')} opens it.")
        elif sentence := repetition_note(turn.conversation, answer):
            self.notify(sentence, timeout=NOTICE_SECONDS, markup=False)
        if has_failed:
            self.asking.take_back_all()

    def _show_account(self, event: object) -> None:
        if isinstance(event, PromptBuilt):
            self._account.show(event)

    async def run_variants(self, events: AsyncGenerator[VariantsEvent]) -> None:
        """Show several answers to one question as they come."""
        from chatbot.tui.variants.rendering import show_variants

        self._status.is_busy = True
        try:
            await show_variants(self, self._accompanied(events, self._show_account))
        finally:
            self._status.is_busy = self.manager.is_busy
        answer = self.manager.conversation.last("assistant")
        if answer and answer.making and answer.making.statistics:
            self._status.show_result(answer.making.statistics)

    def show_title(self) -> None:
        """Show the title of the chat in the frame of the prompt, and of one out of sight."""
        self._prompt.border_title = Content(self.manager.conversation.title)  # never as markup
        self._panes.say_where()

    def show_note(self, markdown: str) -> None:
        """Show a note below the messages."""
        self.call_later(self._chat.add_note, markdown)

    def show_conversation(self) -> None:
        """Draw the branch that is shown anew."""
        self.call_later(self.draw_conversation)

    async def draw_conversation(self) -> None:
        """As ``show_conversation``, and wait until it is drawn."""
        conversation = self.manager.conversation
        self._end_edit()
        self.show_title()
        if self._panes.is_other(conversation) and self.manager.is_busy:
            self.asking.take_back_all()  # it was to follow what is written there
            self._message_keys.go_to_prompt()
        if await self._panes.change_to(conversation):
            return
        self._chat.written_elsewhere = frozenset(self.manager.written_elsewhere)
        await show_path(self._chat, conversation, conversation.path())
        self._status.num_tokens = 0
        self._status.tokens_per_second = 0.0  # that was of an answer that may not be shown now
        self.count_context()
        if self.manager.written_elsewhere:
            self._follow_elsewhere()

    @work(group="elsewhere", exclusive=True)
    async def _follow_elsewhere(self) -> None:
        """Show what another running chatbot writes in this chat, until it is done."""
        while self.manager.written_elsewhere:
            await asyncio.sleep(LOOK_ELSEWHERE_SECONDS)
            before = self._chat.written_elsewhere
            grown = await self.manager.look_elsewhere()
            self._chat.written_elsewhere = frozenset(self.manager.written_elsewhere)
            ended = before - self._chat.written_elsewhere
            conversation = self.manager.conversation
            shown = {message.id for message in grown} | ended
            await self._chat.show_anew([conversation[i] for i in shown if i in conversation])
            if ended:
                self.count_context()

    def propose(self, text: str) -> None:
        """Put a text into the prompt."""
        self._prompt.propose(text)

    def begin_edit(self, question: Message) -> None:
        """Have the user put a question in other words; Esc leaves it as it was."""
        self._chat.dim_from(question.id)
        self._prompt.begin_edit(question)

    def _end_edit(self) -> bool:
        """Edit no question any more. False: none was."""
        self._chat.dim_from(None)
        return self._prompt.end_edit()

    async def fill_prompt(
        self, library: PromptLibrary, name: str, values: Mapping[str, str]
    ) -> FilledPrompt | None:
        """Open the picker; see ``Face``."""
        from chatbot.tui.prompts.choosing import fill_prompt

        return await fill_prompt(self, library, name, values)

    def copy_text(self, text: str) -> None:
        """Put a text on the clipboard of the terminal, by OSC 52."""
        self.copy_to_clipboard(text)
        self.notify(f"Copied {len(text):,} characters.")

    def load_model(self) -> None:
        """Load the model that is set, in the background."""
        self._settings.load_model()

    def show_settings(self, changed: str = "") -> None:
        """Show the settings that are in force, and what the next prompt is with them."""
        self._settings.show()

    def set_theme(self, name: str) -> None:
        """Use a theme, or list them."""
        if not name:
            names = ", ".join(f"`{n}`" for n in self.theme_names)
            self.show_note(f"Themes: {names}. Now: `{self.theme}`.")
            return
        if name not in self.theme_names:
            known = ", ".join(self.theme_names)
            raise ThemeError(f"There is no theme {name!r}; there are {known}.")
        self.theme = name

    def show_sources(self, found: SourcesPart) -> None:
        """Show all that was found for an answer."""
        self._knowledge.open_sources(found)

    def show_lens(self, answer_id: str, records: "Sequence[TokenRecord]") -> None:
        """Show an answer token by token."""
        self.open_lens(answer_id)

    def open_source(self, found: SourcesPart, index: int) -> None:
        """Show a source of an answer in its document."""
        self._knowledge.open_passage(found, index)

    def leave(self) -> None:
        """End the program."""
        self.exit(0)

    def _end_by_signal(self, number: int) -> None:
        """End with the terminal as it was, and all that was written kept."""
        if not os.isatty(0):  # it was closed, and Textual would wait for it without end
            self._keep_unsent()
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.exit(return_code=128 + number)

    # What else changes the screen

    def _watch_theme(self, theme_name: str) -> None:
        super()._watch_theme(theme_name)
        if self.is_running and theme_name != self.manager.settings.theme:
            try:
                self.manager.change_theme(theme_name)
            except ChatbotError as error:
                self.refuse(str(error))
            self.show_settings()

    def _choose_first_theme(self, name: str) -> None:
        """Take a theme before anything is drawn; afterwards is a second styling."""
        self.set_reactive(App.theme, name or self.theme)
        self.stylesheet.set_variables(self.get_css_variables())

    def _show_status(self, status: EngineStatus) -> None:
        self._settings.follow(status)
        self._adapters.follow(status)

    def show_folders(self, knowledge: "Knowledge", work: str) -> None:
        """Show the knowledge folders in the sidebar, and what is being done to them."""
        self._sidebar.show_folders(knowledge.folders)
        self._status.knowledge = work
        for view in self.query(AnswerView):
            view.say_work(work)

    async def ask_approval(self, request: "ApprovalRequest") -> "Decision":
        """Ask whether a tool may run; a turn that is stopped takes the question away."""
        from chatbot.tui.approval_screen import ApprovalScreen

        if (turn := self._panes.turn) and not turn.is_in_sight:
            title = turn.conversation.title
            self.warn(f"In “{title}” a tool waits to be allowed; {self.key_of('chats')} opens it.")
            await turn.in_sight()
        screen = ApprovalScreen(request, _typing_into(self.focused))
        try:
            return await self.push_screen_wait(screen)
        except asyncio.CancelledError:
            if screen.is_attached:
                screen.dismiss("no")
            raise

    def key_of(self, action: str) -> str:
        """The keys that an action is bound to now, as a person reads them."""
        return shown_keys(action, self._keymap_wanted)


def _typing_into(focused: Widget | None) -> Callable[[str], object]:
    """What goes on with a text that somebody is typing there."""
    if isinstance(focused, TextArea):
        return focused.insert
    if isinstance(focused, Input):
        return focused.insert_text_at_cursor
    return lambda _: None
