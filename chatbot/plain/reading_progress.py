"""Shows on standard error how far a long prompt is read.

On a terminal one line that is drawn anew until something else happens; else one line for each
prompt.
"""

from chatbot.engine.protocol.prompt import PromptProgress
from chatbot.events import PromptReading
from chatbot.plain.progress_line import ProgressLine, draw_bar
from chatbot.tokens import ReadingProgress
from chatbot.wording import duration


class ReadingPrinter:
    """One line about the prompts of one turn."""

    def __init__(self) -> None:
        self._line = ProgressLine()
        self._is_told = False

    def show(self, event: object) -> None:
        """Show how far the prompt is read, if the event says so; any other takes the line away."""
        if not isinstance(event, PromptReading | PromptProgress):
            self._line.clear()
            self._is_told = False
        elif self._line.is_terminal or not self._is_told:
            self._is_told = True
            self._line.draw(_words(event.progress, has_bar=self._line.is_terminal))


def _words(progress: ReadingProgress, *, has_bar: bool) -> str:
    """``Reading the prompt ▕████····▏ 1,024 of 4,096 tokens · 12 s left``."""
    num_read, num_tokens = progress.num_read_tokens, progress.num_tokens
    bar = f" {draw_bar(num_read, num_tokens)}" if has_bar else ""
    words = f"Reading the prompt{bar} {num_read:,} of {num_tokens:,} tokens"
    if progress.seconds_left is not None:
        words += f" · {duration(progress.seconds_left)} left"
    return words
