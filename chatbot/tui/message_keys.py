"""Keys and pastes while a message has the focus, or the prompt: for it, or for the prompt.

By way of the widget's queue a key would act once it has bubbled up to the app, and several that
come in one piece would all be meant for what had the focus before, or was in it. So each acts here,
before the next one is looked at. Knows not what the keys of a message do.
"""

from collections.abc import Callable, Mapping
from functools import partial

from textual.app import App
from textual.events import Event, Key, Paste
from textual.widget import Widget

from chatbot.tui.chat.chat_view import ChatView
from chatbot.tui.chat.message_views import MessageView
from chatbot.tui.keys import is_message_key, message_keys
from chatbot.tui.prompt import Prompt


class MessageKeys:
    """Deals with what is pressed among the messages, and says in the prompt's frame what can be."""

    def __init__(
        self,
        app: App[int],
        chat: Callable[[], ChatView],
        prompt: Prompt,
        keymap: Mapping[str, str],
    ) -> None:
        """Begin to deal with it.

        Args:
            app: whose bindings are run.
            chat: gives where the messages are.
            prompt: gets what means nothing to a message.
            keymap: keys that the user rebound, by action.
        """
        self._app = app
        self._chat_shown = chat
        self._prompt = prompt
        self._keymap = keymap

    @property
    def _chat(self) -> ChatView:
        return self._chat_shown()

    async def took(self, event: Event) -> bool:
        """Deal with something that was typed; False: it goes on to what has the focus then."""
        if event.is_forwarded or not isinstance(event, Key | Paste):
            return False
        if isinstance(event, Key) and await self._took_key(event):
            return True
        if isinstance(event, Paste) and self._is_among_messages:
            self.go_to_prompt()
        if self._app.focused is not self._prompt:
            return False
        event._set_forwarded()
        await self._prompt._dispatch_message(event)
        return True

    async def _took_key(self, event: Key) -> bool:
        app = self._app
        app.app_focus = True  # which gives the focus back to what had it
        is_text = bool(event.character) and event.is_printable
        is_in_prompt = app.focused is self._prompt
        if not (is_in_prompt or self._is_among_messages):
            return False
        if is_in_prompt and is_text:
            self._chat.focus_next_answer(is_wanted=False)
        elif active := app.screen.active_bindings.get(event.key):
            return await app.run_action(active.binding.action, active.node)
        elif is_text:
            # A key that was for the message which is about to come in its place is no text.
            is_meant = app.focused is None and self._chat.focuses_next
            if not (is_meant and is_message_key(event.key, self._keymap)):
                self.go_to_prompt()
        return False

    @property
    def _is_among_messages(self) -> bool:
        """Whether a message has the focus, or had it until it was taken away just now."""
        if self._app.focused is None:
            return self._app.screen is self._prompt.screen
        return isinstance(self._app.focused, MessageView)

    def go_to_prompt(self) -> None:
        """Give the prompt the focus at once: the next key, which may be there already, is for it.
        An answer that is about to come does not take it away."""
        self._chat.focus_next_answer(is_wanted=False)
        self._prompt.screen.set_focus(self._prompt)

    def show(self, focused: Widget | None) -> None:
        """Say what the keys do while they are for a message."""
        is_message = isinstance(focused, MessageView)
        self._prompt.show_keys(partial(message_keys, self._keymap) if is_message else None)
