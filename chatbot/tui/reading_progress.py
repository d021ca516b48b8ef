"""How far a long prompt is read, in a bar and in words."""

from chatbot.tokens import ReadingProgress
from chatbot.tui.status_line import draw_bar
from chatbot.wording import duration


def reading_words(progress: ReadingProgress) -> str:
    """How far a prompt is read: ``reading ▰▰▰▱▱▱ 1,024 of 4,096 tokens · 12 s left``."""
    num_read, num_tokens = progress.num_read_tokens, progress.num_tokens
    bar = draw_bar(num_read / num_tokens)
    words = f"reading {bar} {num_read:,} of {num_tokens:,} tokens"
    if progress.seconds_left is not None:
        words += f" · {duration(progress.seconds_left)} left"
    return words
