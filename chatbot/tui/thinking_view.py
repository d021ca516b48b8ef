"""What a model thought before it answered: folded to one line, until the user wants to read it."""

from textual.content import Content
from textual.reactive import reactive

from chatbot.tui.folded import Folded


class ThinkingView(Folded):
    """One stretch of thinking. A click opens and closes it."""

    _num_words: reactive[int] = reactive(0)

    def __init__(self, text: str = "", *, is_over: bool = True) -> None:
        """Show a thought.

        Args:
            text: what there is of it, clean.
            is_over: nothing is added to it any more.
        """
        super().__init__()
        self._parts = [text] if text else []
        self._is_over = is_over
        self.set_reactive(ThinkingView._num_words, len(text.split()))

    @property
    def text(self) -> str:
        """The thought so far."""
        return "".join(self._parts)

    def append(self, text: str) -> None:
        """Add to it; it is drawn with the next ``draw``."""
        self._parts.append(text)

    def draw(self) -> bool:
        """Show what was added; returns whether anything was."""
        num_words = len(self.text.split())
        if num_words == self._num_words:
            return False
        self._num_words = num_words
        if self.is_open:
            self.refresh(layout=True)
        return True

    def end(self) -> None:
        """Nothing follows."""
        self._is_over = True
        self.draw()
        self.refresh()

    def lines(self, width: int) -> list[Content]:
        mark = "▾" if self.is_open else "▸"
        verb = "thought" if self._is_over else "thinking"
        words = f"{self._num_words:,} word{'s' if self._num_words != 1 else ''}"
        lines = [Content.styled(f"{mark} {verb} · {words}", "dim")]
        if self.is_open:
            for line in self.text.strip().splitlines():
                lines += [
                    Content.assemble(("┊ ", "dim"), wrapped.stylize("dim italic"))
                    for wrapped in Content(line or " ").wrap(max(width - 2, 1))
                ]
        return lines
