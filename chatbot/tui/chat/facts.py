"""Facts side by side, in lines that break between two of them and in none."""

from collections.abc import Sequence
from typing import Any

from rich.cells import cell_len
from textual.content import Content
from textual.strip import Strip
from textual.style import Style
from textual.visual import RenderOptions, Visual

from chatbot.tui.drawing.cells import BETWEEN


class Spare(str):
    """A fact that is left out where it would take a line more, the last such fact first."""

    __slots__ = ()


class Facts(Visual):
    """What a ``Static`` shows as facts, below a text or alone."""

    def __init__(self, facts: Sequence[str], above: str = "") -> None:
        """Show ``facts``, below the lines of ``above`` if there are any."""
        self._facts = facts
        self._above = above

    def __str__(self) -> str:
        return f"{self._above}\n{BETWEEN.join(self._facts)}".lstrip("\n")

    def render_strips(
        self, width: int, height: int | None, style: Style, options: RenderOptions
    ) -> list[Strip]:
        """See Textual; and so for the others."""
        return self._in(width).render_strips(width, height, style, options)

    def get_optimal_width(self, rules: Any, container_width: int) -> int:
        return Content(str(self)).get_optimal_width(rules, container_width)

    def get_height(self, rules: Any, width: int) -> int:
        return self._in(width).get_height(rules, width)

    def _in(self, width: int) -> Content:
        above = [self._above] if self._above else []
        return Content("\n".join([*above, *broken(spared(self._facts, width), width)]))


def spared(facts: Sequence[str], width: int) -> list[str]:
    """The facts without those that can be spared, as far as the others take fewer lines."""
    left = list(facts)
    spare = [index for index, fact in enumerate(facts) if isinstance(fact, Spare)]
    num_lines = len(broken([fact for fact in facts if not isinstance(fact, Spare)], width))
    while spare and len(broken(left, width)) > num_lines:
        del left[spare.pop()]
    return left


def broken(facts: Sequence[str], width: int) -> list[str]:
    """The facts in lines no wider than ``width``, but for a fact that is wider alone."""
    lines: list[str] = []
    for fact in facts:
        joined = f"{lines[-1]}{BETWEEN}{fact}" if lines else fact
        if lines and cell_len(joined) <= width:
            lines[-1] = joined
        else:
            lines.append(fact)
    return lines
