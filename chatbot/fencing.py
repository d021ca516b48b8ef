"""Text between fences of Markdown, which nothing in it can end."""

import re
from typing import Final

_BACKTICKS: Final = re.compile("`{3,}")


def fenced(text: str, language: str = "") -> str:
    """``text`` as a block of code, between fences longer than any row of backticks in it."""
    longest = max((len(row) for row in _BACKTICKS.findall(text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
