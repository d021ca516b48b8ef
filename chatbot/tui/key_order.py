"""Keys that move the focus, kept in order with the letters typed around them.

A key is sent to the widget that has the focus when it arrives, and is handled there later.
What is typed fast, or pasted by a program, so reaches a widget that the key before has left.
"""

from textual import events
from textual.widget import Widget


def passed_on(widget: Widget, event: events.Key) -> bool:
    """Deal with a key that is not for ``widget``; to be asked first in its ``_on_key``.

    Tab and Shift+Tab move the focus here and now; a key that was sent before the focus moved
    goes on to the widget that has it.

    Returns:
        Whether the key is dealt with.
    """
    focused = widget.screen.focused
    if focused is not None and focused is not widget:
        focused.post_message(events.Key(event.key, event.character))
    elif event.key == "tab":
        widget.screen.focus_next()
    elif event.key == "shift+tab":
        widget.screen.focus_previous()
    else:
        return False
    event.stop()
    event.prevent_default()
    return True
