"""The knowledge folders in the sidebar: one line each, that switches the folder on and off.

Draws what it is told, and posts what the user wants. Knows no retrieval.
"""

from textual.content import Content
from textual.message import Message

from chatbot.conversation.folders import FolderState
from chatbot.tui.knowledge.folder_rows import folder_line
from chatbot.tui.sidebar.row_list import RowList


class FolderList(RowList[FolderState]):
    """The folders."""

    HINT = "{knowledge} documents, searches, a map"
    EMPTY = "no folder: {knowledge} adds one"

    class Switched(Message):
        """The user wants a folder searched, or no longer."""

        def __init__(self, path: str, *, is_on: bool) -> None:
            super().__init__()
            self.path = path
            """As the folder is listed in the settings."""
            self.is_on = is_on

    def line(self, row: FolderState, width: int) -> Content:
        """See ``RowList``."""
        return folder_line(row, width)

    def switch(self, row: FolderState) -> None:
        """See ``RowList``."""
        self.post_message(self.Switched(row.folder.path, is_on=not row.folder.is_on))
