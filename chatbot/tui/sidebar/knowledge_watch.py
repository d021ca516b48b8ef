"""Keeps the screen in step with the knowledge folders, and opens what shows them.

Knows the app by the few verbs it needs. Starts nothing before the first frame is drawn.
"""

from typing import TYPE_CHECKING, Any, Protocol

from chatbot.errors import ChatbotError
from chatbot.messages import SourcesPart
from chatbot.wording import counted

if TYPE_CHECKING:
    from textual.screen import Screen

    from chatbot.conversation.knowledge import Knowledge
    from chatbot.retrieval.values import FolderStatus


class WatchingApp(Protocol):
    """What the watch needs of the app."""

    def show_folders(self, knowledge: "Knowledge", work: str) -> None:
        """Show the folders in the sidebar, and what is being done to them."""
        ...

    def refuse(self, sentence: str) -> None:
        """Say what went wrong."""
        ...

    def warn(self, sentence: str) -> None:
        """Say what the user may want to look at."""
        ...

    def key_of(self, action: str) -> str:
        """The keys that an action is bound to now, as a person reads them."""
        ...

    def open_screen(self, screen: "Screen[Any]") -> None:
        """Show a screen over the one that is there."""
        ...


class KnowledgeWatch:
    """Between the folders and the app."""

    def __init__(self, app: WatchingApp, knowledge: "Knowledge") -> None:
        """Prepare; nothing is started.

        Args:
            app: where the folders are shown.
            knowledge: the folders.
        """
        self._app = app
        self._knowledge = knowledge
        self._told_problems = 0
        self._told_error = ""

    def start(self) -> None:
        """Index the folders and keep them up to date, and show how far that is."""
        self._knowledge.on_change(self.show)
        self._knowledge.start()
        self.show()

    def show(self) -> None:
        """Show how the folders stand now."""
        from chatbot.tui.knowledge.folder_rows import work_words

        statuses = self._knowledge.statuses
        self._app.show_folders(self._knowledge, work_words(statuses))
        self._tell_problems(statuses)
        self._tell_error(statuses)

    def _tell_problems(self, statuses: "list[FolderStatus]") -> None:
        """Say once, when all files are read, how many could not be."""
        from chatbot.tui.knowledge.folder_rows import num_problems

        if any(status.stage in ("waiting", "scanning", "reading") for status in statuses):
            return
        count = num_problems(statuses)
        if count > self._told_problems:
            key = self._app.key_of("knowledge")
            self._app.warn(
                f"{counted(count, 'file')} of your folders could not be read; {key} lists them "
                "with why."
            )
        self._told_problems = count

    def _tell_error(self, statuses: "list[FolderStatus]") -> None:
        error = self._knowledge.error or self._knowledge.retrieval.status.error
        error = error or next((s.error for s in statuses if s.error), "")
        if error and error != self._told_error:
            self._app.refuse(error)
        self._told_error = error

    def switch(self, path: str, *, is_on: bool) -> None:
        """Search a folder from now on, or no longer."""
        try:
            self._knowledge.switch_folder(path, is_on=is_on)
        except ChatbotError as error:
            self._app.refuse(str(error))
        self.show()

    # What opens

    def open_knowledge(self) -> None:
        """Open the knowledge screen."""
        from chatbot.tui.knowledge.screen import KnowledgeScreen

        self._app.open_screen(KnowledgeScreen(self._knowledge))

    def open_sources(self, found: SourcesPart) -> None:
        """Open the ranking of all that was found for an answer."""
        from chatbot.tui.knowledge.sources_screen import SourcesScreen

        self._app.open_screen(SourcesScreen(found, self._knowledge.open_source))

    def open_passage(self, found: SourcesPart, index: int) -> None:
        """Open a source of an answer in its document."""
        from chatbot.tui.chat.emphasis import words_of
        from chatbot.tui.knowledge.passage_screen import PassageScreen

        words, open_source = words_of(found.query), self._knowledge.open_source
        self._app.open_screen(PassageScreen(found.sources, index, open_source, words=words))
