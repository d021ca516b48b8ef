"""What an answer waits for, in words and in a bar: the search, and the reading of its prompt."""

from typing import Final

from chatbot.tokens import ReadingProgress
from chatbot.tui.drawing.cells import draw_bar
from chatbot.wording import duration

_BRIEF_BAR: Final = 6


def reading_words(progress: ReadingProgress, *, is_brief: bool = False) -> str:
    """``reading ▰▰▰▱▱▱ 1,024 of 4,096 tokens · 12 s left``.

    Args:
        progress: how far it is.
        is_brief: for a narrow column: a shorter bar, and a share in place of the tokens.
    """
    num_read, num_tokens = progress.num_read_tokens, progress.num_tokens
    share = num_read / num_tokens
    if is_brief:
        words = f"reading {draw_bar(share, _BRIEF_BAR)} {share:.0%}"
    else:
        words = f"reading {draw_bar(share)} {num_read:,} of {num_tokens:,} tokens"
    if progress.seconds_left is not None:
        words += f" · {duration(progress.seconds_left)} left"
    return words


def search_words(*, is_ready: bool) -> str:
    """What is said while the folders are searched, or while the search is loaded for that."""
    return "searching your folders" if is_ready else "loading the search of your folders"
