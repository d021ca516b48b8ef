"""Markdown that grows while it is read: what is drawn already is left as it is.

Textual's own blocks are laid out, coloured or made anew with each piece that comes. Imported
only where Markdown is shown, since the first frame has no use for it.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token
from textual.app import ComposeResult
from textual.await_complete import AwaitComplete
from textual.containers import Horizontal
from textual.content import Content
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import AwaitMount, Widget
from textual.widgets import Markdown
from textual.widgets._markdown import (
    MarkdownBlock,
    MarkdownBullet,
    MarkdownBulletList,
    MarkdownFence,
    MarkdownListItem,
    MarkdownOrderedList,
    MarkdownParagraph,
)

from chatbot.terminal_text import clean, is_safe
from chatbot.tui.chat.code_lines import CodeLines
from chatbot.tui.chat.growing_table import GrowingTable
from chatbot.tui.drawing.cheap_layout import backdrop, content_size
from chatbot.tui.drawing.reserve import Pace, Reserve


class GrowingParagraph(MarkdownParagraph):
    """Is laid out again only when it takes more lines."""

    virtual_size = content_size()

    def __init__(self, markdown: Markdown, token: Token) -> None:
        super().__init__(markdown, token)
        self._reserve = Reserve(_pace_of(markdown))

    def expect_more(self) -> None:
        """It stands last and will grow."""
        if num_lines := self._reserve.expect(self.app.size.height):
            self.styles.min_height = num_lines

    def settle(self) -> None:
        """Take no more room than there is text: it does not grow any more."""
        if self.styles.min_height is not None:
            self.styles.min_height = None

    def set_content(self, content: Content) -> None:
        self._content = content
        if not self.is_attached:  # mounting it asks for its layout, once
            self.update(content, layout=False)
            return
        width = self.content_size.width
        num_lines = content.get_height({}, width) if width else -1
        if self._token.level > 0 or num_lines < 0:
            self.update(content, layout=num_lines != self.content_size.height)
            return
        fits = self._reserve.fits(num_lines, self.app.size.height)
        if not fits and self._reserve.num_lines > num_lines:
            self.styles.min_height = self._reserve.num_lines
        self.update(content, layout=not fits)


class GrowingFence(MarkdownFence):
    """Code whose lines are drawn when they are in sight, and coloured once."""

    virtual_size = content_size()

    def __init__(self, markdown: Markdown, token: Token, code: str) -> None:
        # Past the constructor of the parent, which colours all of the code at once.
        MarkdownBlock.__init__(self, markdown, token)
        self.code = code
        self.lexer = token.info
        self.auto_links = False
        self._shown = CodeLines(code, token.info, _pace_of(markdown), self._fence)

    def compose(self) -> ComposeResult:
        yield self._shown

    @property
    def _fence(self) -> str:
        """What the code begins with: ```` ```python ````."""
        return clean(f"{self._token.markup}{self._token.info}")

    def expect_more(self) -> None:
        """It stands last and will grow."""
        self._shown.expect_more()

    def settle(self) -> None:
        """Take no more room than there are lines: it does not grow any more."""
        self._shown.settle()

    def notify_style_update(self) -> None:
        self._shown.forget_colours()
        MarkdownBlock.notify_style_update(self)

    def grow(self, code: str) -> None:
        """Show ``code``, which begins with what was shown before but for its last line."""
        self.code = code
        self._shown.grow(code, self.lexer, self._fence)

    async def _update_from_block(self, block: MarkdownBlock) -> None:
        if isinstance(block, GrowingFence):
            self._token, self.lexer = block._token, block.lexer
            self.grow(block.code)
        else:
            await MarkdownBlock._update_from_block(self, block)


class GrowingBulletList(MarkdownBulletList):
    """Its last item grows, and it gets others; those before them stay as they are."""

    async def _update_from_block(self, block: MarkdownBlock) -> None:
        if not await _grow_list(self, block):
            await super()._update_from_block(block)


class GrowingOrderedList(MarkdownOrderedList):
    """As ``GrowingBulletList``."""

    async def _update_from_block(self, block: MarkdownBlock) -> None:
        if not await _grow_list(self, block):
            await super()._update_from_block(block)


async def _grow_list(shown: MarkdownBlock, block: MarkdownBlock) -> bool:
    """Have the items of ``block`` in ``shown``; False: it must be made anew."""
    rows = list(shown.children)
    items = [item for item in block._blocks if isinstance(item, MarkdownListItem)]
    if type(block) is not type(shown) or not 0 < len(rows) <= len(items):
        return False
    shown._token = block._token
    await _grow(rows[-1].children[-1], items[len(rows) - 1]._blocks)
    # Made by the new list, so that all have numbers of one width.
    made = [row for row in block.compose() if isinstance(row, Horizontal)]
    for row, new in zip(rows, made, strict=False):
        bullet, wanted = row.children[0], new._pending_children[0]
        if not isinstance(bullet, MarkdownBullet) or not isinstance(wanted, MarkdownBullet):
            continue
        if bullet.symbol != wanted.symbol:
            bullet.symbol = wanted.symbol
            bullet.refresh(layout=True)
    if len(made) > len(rows):
        _settle(rows[-1])
        await shown.mount_all(made[len(rows) :])
    return True


async def _grow(parent: Widget, blocks: list[MarkdownBlock]) -> None:
    """Have ``blocks`` in ``parent``, which shows all but the last of those it has already."""
    shown = [child for child in parent.children if isinstance(child, MarkdownBlock)]
    if len(shown) > len(blocks):
        await parent.remove_children()
        shown = []
    elif shown:
        last, new = shown[-1], blocks[len(shown) - 1]
        if type(last) is type(new):
            await last._update_from_block(new)
        else:
            await last.remove()
            await parent.mount(new)
    if len(blocks) > len(shown):
        for last in shown[-1:]:
            _settle(last)
        await parent.mount_all(blocks[len(shown) :])


def _settle(widget: Widget) -> None:
    """Have ``widget``, and what is in it, take no more room than it needs."""
    for block in widget.walk_children(with_self=True):
        if isinstance(block, GrowingParagraph | GrowingFence):
            block.settle()


class GrowingMarkdown(Markdown):
    """Markdown of these blocks."""

    virtual_size = content_size()

    def __init__(self, text: str, parser_factory: Callable[[], MarkdownIt]) -> None:
        # One for all pieces. Not one for all widgets: what comes whole is parsed in a thread.
        super().__init__(text, open_links=False, parser_factory=functools.cache(parser_factory))
        self.pace = Pace()
        self._one_by_one = asyncio.Lock()
        self._open_fence: _OpenFence | None = None

    def render_lines(self, crop: Region) -> list[Strip]:
        return backdrop(self, crop)

    def call_next(self, callback: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Leave out one of the two layouts for what is mounted: Markdown waits for it, and then
        the other has been asked for."""
        if not isinstance(callback, AwaitMount):
            super().call_next(callback, *args, **kwargs)

    def get_block_class(self, block_name: str) -> type[MarkdownBlock]:
        return _BLOCKS.get(block_name) or super().get_block_class(block_name)

    def mount_all(
        self,
        widgets: Iterable[Widget],
        *,
        before: int | str | Widget | None = None,
        after: int | str | Widget | None = None,
    ) -> AwaitMount:
        """What stood last does not grow any more; what stands last now may."""
        self.settle()
        widgets = list(widgets)
        if isinstance(last := widgets[-1] if widgets else None, GrowingParagraph | GrowingFence):
            last.expect_more()
        return super().mount_all(widgets, before=before, after=after)

    def settle(self) -> None:
        """Take no more room than there is text: it does not grow any more."""
        for block in self.children[-1:]:
            _settle(block)

    def update(self, markdown: str) -> AwaitComplete:
        """Show ``markdown`` in place of what is there: nothing of it grows."""
        self.pace = Pace()
        return self._in_turn(self._update, markdown)

    async def _update(self, markdown: str) -> None:
        self._open_fence = None
        await super().update(markdown)

    def append(self, markdown: str) -> AwaitComplete:
        """Add ``markdown`` to what is there.

        Textual decides at once from which line on it parses, before what was added last has been
        parsed: pieces that do not wait for one another would get lost.
        """
        return self._in_turn(self._append, markdown)

    async def _append(self, markdown: str) -> None:
        if self._grow_fence(markdown):
            return
        await super().append(markdown)
        self._open_fence = self._find_open_fence()

    def _grow_fence(self, markdown: str) -> bool:
        """Add ``markdown`` to the code that stands last, if it is nothing else: to parse all of it
        again takes longer than to draw it."""
        last = self.children[-1] if self.children else None
        if not self._open_fence or not isinstance(last, GrowingFence) or not is_safe(markdown):
            return False
        marker, start = self._open_fence
        tail = self.source[self.source.rfind("\n") + 1 :] + markdown
        if any(_may_close(line, marker) for line in tail.splitlines()):
            return False
        self._markdown = self.source + markdown
        code = self._markdown[start:]
        first, _ = last.source_range
        last.source_range = (first, first + 1 + len(code.splitlines()))
        last.grow(code.rstrip())
        return True

    def _find_open_fence(self) -> "_OpenFence | None":
        """The code that stands last and has no end yet."""
        last = self.children[-1] if self.children else None
        if not isinstance(last, GrowingFence) or last._token.type != "fence":
            return None
        marker = last._token.markup
        lines = self.source.splitlines(keepends=True)
        first, *others = lines[self._last_parsed_line :] or [""]
        # Of indented code, Markdown takes the blanks off.
        is_begun = first.startswith(marker) and first.endswith("\n")
        if not is_begun or any(_may_close(line, marker) for line in others):
            return None
        if not is_safe("".join(others)):
            return None
        return _OpenFence(marker, len(self.source) - sum(map(len, others)))

    def _in_turn(self, change: Callable[[str], Awaitable[object]], markdown: str) -> AwaitComplete:
        async def wait() -> None:
            async with self._one_by_one:
                await change(markdown)

        return AwaitComplete(wait())


class _OpenFence(NamedTuple):
    """Code at the end of what there is."""

    marker: str
    """What it began with, and ends with."""
    start: int
    """Characters before the code."""


def _may_close(line: str, marker: str) -> bool:
    """Whether a line could end the code, perhaps once more of it is there."""
    text = line.strip()
    return bool(text) and text == marker[0] * len(text)


def _pace_of(markdown: Markdown) -> Pace:
    return markdown.pace if isinstance(markdown, GrowingMarkdown) else Pace()


_BLOCKS: Final[dict[str, type[MarkdownBlock]]] = {
    "paragraph_open": GrowingParagraph,
    "bullet_list_open": GrowingBulletList,
    "ordered_list_open": GrowingOrderedList,
    "fence": GrowingFence,
    "code_block": GrowingFence,
    "table_open": GrowingTable,
}
