"""Keeps sidebar and status line in step with the settings and the model that is loaded, and the
conversation with the sidebar.

Knows the app by the few verbs it needs.
"""

from collections.abc import Awaitable
from typing import Literal, Protocol

from chatbot.conversation.manager import ConversationManager
from chatbot.conversation.thinking import thinking_problem
from chatbot.conversation.window import window_note, window_of
from chatbot.engine.client import EngineStatus
from chatbot.errors import ChatbotError
from chatbot.tui.notices import NOTICE_SECONDS
from chatbot.tui.sidebar.setting_controls import SettingChosen
from chatbot.tui.sidebar.sidebar import Sidebar
from chatbot.tui.status_line import StatusLine


class SettingsApp(Protocol):
    """What the watch needs of the app."""

    def set_theme(self, name: str) -> None:
        """Use a theme."""
        ...

    def count_context(self) -> object:
        """Show what the next prompt would consist of."""
        ...

    def refuse(self, sentence: str) -> None:
        """Say what went wrong."""
        ...

    def warn(self, sentence: str) -> None:
        """Say what the user may want to look at."""
        ...

    def notify(
        self,
        message: str,
        *,
        severity: Literal["information", "warning"],
        timeout: float,
        markup: bool,
    ) -> None:
        """Say something in passing."""
        ...

    def run_worker(self, work: Awaitable[None], *, group: str, exclusive: bool) -> object:
        """Do it in the background."""
        ...


class SettingsWatch:
    """Between the settings and the app."""

    def __init__(
        self, app: SettingsApp, manager: ConversationManager, sidebar: Sidebar, status: StatusLine
    ) -> None:
        """Prepare.

        Args:
            app: says what there is to say.
            manager: has the settings, and the engine.
            sidebar: shows them.
            status: shows how long the window is.
        """
        self._app = app
        self._manager = manager
        self._sidebar = sidebar
        self._status = status

    def set(self, event: SettingChosen) -> None:
        """Bring about what was chosen in the sidebar."""
        if event.name == "theme":
            self._app.set_theme(event.text)
            return
        before = self._manager.settings
        try:
            self._manager.change_setting(event.name, event.text)
        except ChatbotError as error:
            self._app.refuse(str(error))
        if self._manager.settings == before:
            return
        self.show()
        if event.name in ("model", "precision"):
            self.load_model()
        if event.name == "thinking":
            self._say_thinking()
        if event.name == "context_length":
            self._app.run_worker(self._say_window(), group="window", exclusive=True)

    def load_model(self) -> None:
        """Load the model that is set, in the background."""
        self._app.run_worker(self._load_model(), group="load", exclusive=True)

    async def _load_model(self) -> None:
        try:
            await self._manager.load_model()
        except ChatbotError as error:
            self._app.refuse(str(error))
        self.show()
        self._say_thinking()

    def show(self) -> None:
        """Show the settings that are in force, and what the next prompt is with them."""
        self._sidebar.show_settings(self._manager.settings)
        self._show_window()
        self._app.count_context()

    def follow(self, status: EngineStatus) -> None:
        """Show what is loaded, or how far it is."""
        self._status.status = status
        self._sidebar.show_status(status)
        if status.info:
            self._app.count_context()
            self._show_window()

    def _show_window(self) -> None:
        """Show how long the window is that the next answer has."""
        if info := self._manager.engine.status.info:
            self._status.context_length = window_of(info, self._manager.settings)

    def _say_thinking(self) -> None:
        """Say where the model does not heed what is set about thinking."""
        info = self._manager.engine.status.info
        if info and (problem := thinking_problem(self._manager.settings, info)):
            self._app.warn(problem)

    async def _say_window(self) -> None:
        sentence, is_warning = await window_note(self._manager.engine, self._manager.settings)
        severity: Literal["warning", "information"] = "warning" if is_warning else "information"
        self._app.notify(sentence, severity=severity, timeout=NOTICE_SECONDS, markup=False)
