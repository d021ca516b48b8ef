"""Several lines of text to write in, whose undo can be relied on.

Knows nothing of what is written.
"""

from textual.widgets import TextArea
from textual.widgets.text_area import Selection


class WritingArea(TextArea):
    """Textual's, without an end of the program where a long paste is undone."""

    def _refresh_size(self) -> None:
        # Undo and redo ask for this while the cursor stands where there may be no text any more,
        # and a scroll bar that comes or goes with it looks for the cursor there: in bounds again.
        self.selection = Selection(*map(self.clamp_visitable, self.selection))
        super()._refresh_size()
