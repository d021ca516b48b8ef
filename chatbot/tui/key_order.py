"""Keys kept in the order in which they were pressed, where letters are typed around them.

Textual runs a binding when its key has bubbled up to the app, or, with priority, before the
key is handed down: either way it changes places with letters typed fast around it, and Enter
would send half a message. And a key is sent to the widget that has the focus when it arrives
but handled there later, when the key before may have moved the focus.
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


async def ran_own_binding(widget: Widget, event: events.Key) -> bool:
    """Run the widget's own binding for a key here and now; to be asked in its ``_on_key``.

    Returns:
        Whether there was one that took the key.
    """
    if event.is_printable:
        return False
    active = widget.screen.active_bindings.get(event.key)
    if active is None or active.node is not widget:
        return False
    if not await widget.app.run_action(active.binding.action, widget):
        return False
    event.stop()
    event.prevent_default()
    return True
