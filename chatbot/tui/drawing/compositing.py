"""What is covered is not drawn, and what has not changed is not drawn again.

By default Textual draws, for each change however small, every line of every widget whose container
is touched, and throws away what other widgets cover. While an answer streams this takes more of
the processor than the answer.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, cast

from textual import events
from textual._compositor import Compositor, ReflowResult
from textual.geometry import NULL_REGION, Region, Size
from textual.map_geometry import MapGeometry
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget

from chatbot.tui.drawing.key_pause import KeyPause

BREATH_SECONDS: Final = 0.003
"""Between laying out and drawing: enough for a key to find its way to what it is typed into."""


class SparingCompositor(Compositor):
    """Puts the widgets' lines together from the front to the back, as far as they can be seen."""

    def __init__(self) -> None:
        super().__init__()
        self._laid_out: Mapping[Widget, MapGeometry] = {}
        """Where all, or all that was in sight, was when it was last laid out to be drawn."""

    def reflow(self, parent: Widget, size: Size) -> ReflowResult:
        """See Textual, which looks for what moved since its map was made. That is not when all was
        last drawn: scrolling makes none, and whoever asks where a widget is may have it made anew.
        What moved in between would stay on the screen where it was.
        """
        before, is_its_map = self._laid_out, self._laid_out is self._full_map
        result = super().reflow(parent, size)
        self._laid_out = self._full_map
        for widget in () if is_its_map else before.keys() | self._full_map.keys():
            old, new = (_place(places.get(widget)) for places in (before, self._full_map))
            if new != old:
                self._dirty_regions.update(filter(None, (old, new)))
        return result

    def reflow_visible(self, parent: Widget, size: Size) -> set[Widget]:
        exposed = super().reflow_visible(parent, size)
        self._laid_out = self._visible_map or {}
        return exposed

    def _render_chops(
        self, crop: Region, is_rendered_line: Callable[[int], bool]
    ) -> Sequence[Mapping[int, Strip]]:
        """The pieces of each line by the column where they begin, of the lines in ``crop`` for
        which ``is_rendered_line`` holds; None stands where none is wanted.
        """
        cuts = self.cuts
        lines: list[dict[int, Strip | None]] = [{} for _ in cuts]
        missing: dict[int, set[int]] = {}
        """By line, the columns where something begins that is not drawn yet."""
        for y in filter(is_rendered_line, crop.line_range):
            starts = cuts[y][:-1]
            lines[y] = dict.fromkeys(starts)
            missing[y] = {
                start
                for start, end in zip(starts, cuts[y][1:], strict=True)
                if start < crop.right and end > crop.x
            }
        for widget, (region, clip) in self.visible_widgets.items():
            part = region.intersection(clip)
            x, right = part.column_span
            wanted = [
                y
                for y in part.intersection(crop).line_range
                if (columns := missing.get(y)) and any(x <= column < right for column in columns)
            ]
            if not wanted:
                continue
            top, height = wanted[0], wanted[-1] + 1 - wanted[0]
            if widget.is_attached:
                inner = Region(x - region.x, top - region.y, part.width, height)
                strips = widget.render_lines(inner)
            else:  # taken away since all was laid out, and nothing is in its place yet
                strips = [Strip.blank(part.width)] * height
            for y in wanted:
                ends = [cut for cut in cuts[y] if x <= cut <= right]
                pieces = strips[y - top].divide([end - x for end in ends[1:]])
                line, columns = lines[y], missing[y]
                for start, piece in zip(ends, pieces, strict=False):
                    if start in columns:
                        columns.remove(start)
                        line[start] = piece
            for y in wanted:
                if not missing[y]:
                    del missing[y]
            if not missing:
                break
        # As its base does: whoever reads the lines knows that pieces may be missing.
        return cast("Sequence[Mapping[int, Strip]]", lines)


def _place(geometry: MapGeometry | None) -> Region:
    """Where it can be seen; nowhere, where it has none."""
    return geometry.clip.intersection(geometry.region) if geometry else NULL_REGION


class SparingScreen(Screen[None]):
    """A screen that is put together like this, and on which keys do not wait for what streams."""

    def __init__(self) -> None:
        super().__init__(id="_default")  # as Textual names the first one
        self._compositor = SparingCompositor()
        self._is_laying_out = False
        self.key_pause = KeyPause()

    def _on_timer_update(self) -> None:
        if not self.key_pause.is_on:
            self.key_pause.note_work()
            super()._on_timer_update()

    async def _on_idle(self, event: events.Idle) -> None:
        self._draw_focused()
        await super()._on_idle(event)

    def _draw_focused(self) -> None:
        """Draw what the user types into here and now: the next drawing of the whole screen may be
        two of its periods away, and first lay out what streams.
        """
        focused = self.focused
        if (
            focused in self._dirty_widgets
            and focused in self._compositor.visible_widgets
            and not focused.is_container
            and self.is_current
            and not self.app._batch_count
        ):
            self.key_pause.end()
            others = self._dirty_widgets - {focused}
            self._dirty_widgets = {focused}
            self._compositor_refresh()
            self._dirty_widgets |= others

    def _refresh_layout(self, size: Size | None = None, scroll: bool = False) -> None:
        self._is_laying_out = True
        try:
            super()._refresh_layout(size, scroll)
        finally:
            self._is_laying_out = False

    def _compositor_refresh(self) -> None:
        # While changes are gathered that are to be seen at once, Textual writes nothing: what is
        # drawn then would be taken for seen, and what was there before would stay on the screen.
        if (self._is_laying_out and self.app._dom_ready) or self.app._batch_count:
            self.set_timer(BREATH_SECONDS, self._draw_layout)
        else:
            self._compositor.update_widgets(self._dirty_widgets)  # none of them is dirty after it
            super()._compositor_refresh()

    def _draw_layout(self) -> None:
        """Draw what has been laid out, unless a key has come in."""
        if self.key_pause.is_on:
            self.set_timer(BREATH_SECONDS, self._draw_layout)
        else:
            self._compositor_refresh()
