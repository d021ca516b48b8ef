"""Shows on standard error how the loading of a model goes.

On a terminal one line that is drawn anew; else a line for each stage.
"""

from collections.abc import Callable

from chatbot.engine.client import EngineStatus
from chatbot.engine.protocol.loading import LoadProgress
from chatbot.plain.progress_line import ProgressLine
from chatbot.terminal_text import clean_line


class LoadPrinter:
    """One line about the model that is being loaded."""

    def __init__(self, is_wanted: Callable[[], bool] = lambda: True) -> None:
        """Make the printer.

        Args:
            is_wanted: asked each time; progress must not run over what a person is typing.
        """
        self._is_wanted = is_wanted
        self._line = ProgressLine()
        self._stage = ""

    def show(self, status: EngineStatus) -> None:
        """Show how far it is; nothing while nothing is loaded."""
        if status.state != "loading":
            self.clear()
        elif self._is_wanted():
            self._draw(status.stage, status.fraction)

    def show_progress(self, progress: LoadProgress) -> None:
        """Show how far a model is that is being fetched and not loaded."""
        self._draw(clean_line(progress.stage), progress.fraction)

    def clear(self) -> None:
        """Take the line away."""
        self._line.clear()

    def _draw(self, stage: str, fraction: float | None) -> None:
        if self._line.is_terminal:
            self._line.draw(f"{stage}…" + ("" if fraction is None else f" {fraction:.0%}"))
        elif stage != self._stage:
            self._stage = stage
            self._line.draw(f"{stage}…")
