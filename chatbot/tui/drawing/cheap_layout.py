"""What keeps a growing answer from costing more than it must.

By default Textual lays out the whole screen once more after a widget's size has changed, and
draws a container anew, line by line, each time; an answer changes size with each line that
streams.
"""

from collections.abc import Callable

from rich.style import Style
from textual.geometry import Region, Size
from textual.reactive import Reactive
from textual.strip import Strip
from textual.widget import Widget


def content_size() -> Reactive[Size]:
    """A ``virtual_size``, in cells, whose change asks for no other layout.

    Asking is for what shows or hides scrollbars, and so has another size for its content then.
    """
    return Reactive(Size(0, 0), repaint=False)


def all_alike(render_lines: Callable[[Region], list[Strip]], crop: Region) -> list[Strip]:
    """What ``render_lines`` gives for a widget without content whose lines are all the same, with
    a border at the sides alone: one line is drawn.

    Args:
        render_lines: draws a part of the widget.
        crop: the part of it that is asked for, in cells.
    """
    return render_lines(Region(crop.x, crop.y, crop.width, 1)) * crop.height


def backdrop(widget: Widget, crop: Region) -> list[Strip]:
    """Lines of background, for ``render_lines`` of a container that draws nothing else: no border
    and no title. All of them are one strip.

    Args:
        widget: the container.
        crop: the part of it that is asked for, in cells.
    """
    _, background = widget.background_colors
    strip = Strip.blank(crop.width, Style.from_color(bgcolor=background.rich_color))
    for line_filter in widget.get_line_filters():
        strip = strip.apply_filter(line_filter, background)
    return [strip] * crop.height
