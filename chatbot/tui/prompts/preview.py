"""What a prompt will become, with what was inserted in a colour of its own."""

from typing import Final

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from chatbot.conversation.prompt_rendering import Piece

MAX_CHARS: Final = 20_000
"""More than this is not laid out anew at every key."""


class PromptPreview(VerticalScroll, can_focus=False):
    """The rendered prompt, as far as it is filled in."""

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self._pieces: tuple[Piece, ...] = ()
        self._followed: tuple[str, str] | None = None
        """The value that is being typed, after all that stands before it."""
        self._text = Static("", id="picker-text")

    def compose(self) -> ComposeResult:
        yield self._text

    def show_pieces(self, pieces: tuple[Piece, ...], missing: set[str]) -> None:
        """Show a rendered prompt.

        Args:
            pieces: its text.
            missing: what stands in it for variables that have no value yet.
        """
        self._pieces = pieces
        self._text.update(_as_content(pieces, missing))

    def follow(self, value: str) -> None:
        """Scroll to where a value that is being typed stands."""
        before = ""
        for piece in self._pieces:
            if len(before) > MAX_CHARS:
                return
            if piece.is_value and value and piece.text == value:
                self._followed = (before, value)
                self.call_after_refresh(self._scroll_to_followed)
                return
            before += piece.text

    def show_start(self) -> None:
        """Scroll back to the beginning."""
        self._followed = None
        self.scroll_home(animate=False)

    def on_resize(self) -> None:
        """Fields that grow take room away."""
        self._scroll_to_followed()

    def _scroll_to_followed(self) -> None:
        if self._followed is None:
            return
        before, value = self._followed
        first = self._num_lines(before) - 1
        last = self._num_lines(before + value[:MAX_CHARS])
        height = self.size.height
        if last > self.scroll_y + height:  # the end of a long value is where it grows
            self.scroll_to(y=last - height + 1, animate=False)
        elif first < self.scroll_y and last - first <= height:
            self.scroll_to(y=first, animate=False)

    def _num_lines(self, text: str) -> int:
        return max(len(Content(text).wrap(max(self._text.size.width, 1))), 1)


def _as_content(pieces: tuple[Piece, ...], missing: set[str]) -> Content:
    parts: list[Content | str] = []
    room = MAX_CHARS
    for piece in pieces:
        text = piece.text[:room]
        room -= len(text)
        if not piece.is_value:
            parts.append(text)
        elif text in missing:
            parts.append(Content.styled(text, "$text-warning"))
        else:
            parts.append(Content.styled(text, "$text-accent"))
    if room <= 0:
        parts.append(Content.styled("\n… and more", "$text-muted"))
    return Content.assemble(*parts)
