"""A file that is attached to a question: folded to one line, until the user wants to read it."""

from typing import Final

from textual.content import Content

from chatbot.conversation.file_block import file_facts
from chatbot.messages import FilePart
from chatbot.tui.chat.folded import Folded, first_lines

OPEN_LINES: Final = 400
"""Lines that are shown of an open file."""


class FileView(Folded):
    """One file. A click opens and closes it."""

    def __init__(self, file: FilePart) -> None:
        super().__init__()
        self._file = file

    def lines(self, width: int) -> list[Content]:
        mark = "▾" if self.is_open else "▸"
        head = Content.assemble(
            (f"{mark} ", "dim"),
            Content.styled(self._file.name, "$text-accent"),
            (f" · {file_facts(self._file)}", "dim"),
        )
        lines = [head.truncate(width, ellipsis=True)]
        if self.is_open:
            shown, has_more = first_lines(self._file.text, OPEN_LINES, width)
            lines += shown
            if has_more:
                lines.append(Content.styled("└ … the rest is not shown", "dim"))
        return lines
