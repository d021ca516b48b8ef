"""A beam search as it goes on: each beam a bar and a text, what all of them share said once.

Draws what it is given.
"""

from collections.abc import Sequence
from typing import Final

from textual import events
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from chatbot.events import BeamsShown
from chatbot.tokens import Beam
from chatbot.tui.variants.drawing import beam_line, shared_start

LINES_PER_BEAM: Final = 3
"""Of a beam's own text, its end; the whole can be read once it is an answer."""

SHARED_LINES: Final = 4
"""Of the text that all beams share, its end, until they are answers."""

_ALL_LINES: Final = 10_000


class BeamList(Widget):
    """The beams, the likeliest first, and those that came to their end."""

    shown: reactive[BeamsShown | None] = reactive(None, layout=True)
    chosen = reactive(0)
    """Row that is set off, once they are answers."""
    is_over = reactive(False, layout=True)
    state = reactive("waiting")
    """What is going on while there is no beam yet."""

    def __init__(self, numbers: Sequence[int]) -> None:
        """Show nothing yet.

        Args:
            numbers: what the answers are called that the beams become.
        """
        super().__init__()
        self._numbers = numbers

    class Chosen(Message):
        """The user clicked on one of them."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    @property
    def beams(self) -> tuple[tuple[Beam, bool], ...]:
        """What is shown, from the top; whether each came to its end."""
        if self.shown is None:
            return ()
        live = () if self.is_over else self.shown.live
        return (
            *((beam, False) for beam in live),
            *((beam, True) for beam in self.shown.finished),
        )

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return sum(len(block) for block in self._blocks(max(width, 20)))

    def on_click(self, event: events.Click) -> None:
        row = event.y
        blocks = self._blocks(max(self.size.width, 20))
        for index, block in enumerate(blocks[1:]):
            row -= len(blocks[index])
            if 0 <= row < len(block):
                self.post_message(self.Chosen(index))

    def render(self) -> Content:
        if not self.beams:
            return Content.styled(f"… {self.state}", "dim")
        lines = [line for block in self._blocks(max(self.size.width, 20)) for line in block]
        return Content("\n").join(lines)

    def _blocks(self, width: int) -> list[list[Content]]:
        """The lines of what is shared, and of each beam."""
        beams = self.beams
        if not beams:
            return [[Content("")]]
        shared = shared_start([beam.text for beam, _ in beams])
        most_shared, most = (
            (_ALL_LINES, _ALL_LINES) if self.is_over else (SHARED_LINES, LINES_PER_BEAM)
        )
        best = max((beam for beam, _ in beams), key=lambda beam: beam.score)
        blocks = [_tail(shared, width, most_shared, "dim") if shared.strip() else []]
        if blocks[0]:
            blocks[0] = [Content.styled("all of them:", "dim"), *blocks[0], Content("")]
        for index, (beam, is_finished) in enumerate(beams):
            is_chosen = self.is_over and index == self.chosen
            mark = Content.styled("❯" if is_chosen else " ", "bold $accent")
            number = self._numbers[index] if self.is_over else index + 1
            head = beam_line(number, beam, best, is_finished=is_finished, width=max(width - 1, 10))
            own = _tail(beam.text[len(shared) :].strip() or "·", width - 5, most, "")
            blocks.append([mark + head, *(Content("    ") + line for line in own)])
        return blocks


def _tail(text: str, width: int, most: int, style: str) -> list[Content]:
    """The last lines of a text."""
    wrapped: Sequence[Content] = Content.styled(text, style).wrap(max(width, 10))
    kept = list(wrapped[-most:])
    if len(wrapped) > most and kept:
        kept[0] = Content.styled("…", "dim") + kept[0].truncate(max(width - 1, 5))
    return kept
