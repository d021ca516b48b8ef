"""What a model thought before it answered: folded to one line, until the user wants to read it."""

import msgspec
from textual.content import Content
from textual.reactive import reactive

from chatbot.messages import ThinkingPart
from chatbot.tui.chat.folded import Folded
from chatbot.wording import counted


class ThinkingView(Folded):
    """One stretch of thinking. A click opens and closes it."""

    _drawn_size: reactive[tuple[int, int, float]] = reactive((0, 0, 0.0))
    """Words, tokens and seconds, as they are drawn."""

    def __init__(self, part: ThinkingPart | None = None) -> None:
        """Show a thought.

        Args:
            part: one that is over; None for one that is about to stream.
        """
        super().__init__()
        self._parts = [part.text] if part else []
        self._part = part or ThinkingPart("")
        """All but its text."""
        self._is_over = part is not None
        self.set_reactive(ThinkingView._drawn_size, self._measure())

    @property
    def text(self) -> str:
        """The thought so far."""
        return "".join(self._parts)

    def append(self, text: str, num_tokens: int = 0, seconds: float = 0.0) -> None:
        """Add to it; it is drawn with the next ``draw``.

        Args:
            text: the next piece.
            num_tokens: of the thought, with the piece.
            seconds: what they took.
        """
        self._parts.append(text)
        self._part = msgspec.structs.replace(self._part, num_tokens=num_tokens, seconds=seconds)

    def draw(self) -> bool:
        """Show what was added; returns whether anything was."""
        size = self._measure()
        if size == self._drawn_size:
            return False
        self._drawn_size = size
        if self.is_open:
            self.refresh(layout=True)
        return True

    def cut(self) -> None:
        """It ends because the user wants the answer."""
        self._part = msgspec.structs.replace(self._part, is_cut=True)
        self.refresh()

    def end(self) -> None:
        """Nothing follows."""
        self._is_over = True
        self.draw()
        self.refresh()

    def _measure(self) -> tuple[int, int, float]:
        num_words = 0 if self._part.num_tokens else len(self.text.split())
        return num_words, self._part.num_tokens, self._part.seconds

    def _facts(self) -> str:
        num_words, num_tokens, seconds = self._drawn_size
        size = counted(num_tokens, "token") if num_tokens else counted(num_words, "word")
        facts = ["thought" if self._is_over else "thinking", size]
        if seconds:
            facts.append(f"{seconds:.1f} s")
        if self._part.is_cut:
            facts.append("cut short")
        return " · ".join(facts)

    def lines(self, width: int) -> list[Content]:
        mark = "▾" if self.is_open else "▸"
        lines = [Content.styled(f"{mark} {self._facts()}", "dim")]
        if self.is_open:
            for line in self.text.strip().splitlines():
                lines += [
                    Content.assemble(("┊ ", "dim"), wrapped.stylize("dim italic"))
                    for wrapped in Content(line or " ").wrap(max(width - 2, 1))
                ]
        return lines
