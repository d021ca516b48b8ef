"""A turn as the screen follows it: in which chat pane, and what else of the screen is about it.

While another chat is open the pane is out of sight, and nothing else is about it. Draws no message.
"""

import asyncio
from typing import TYPE_CHECKING

from chatbot.conversation.tree import Conversation
from chatbot.events import AnswerHeld, PromptBuilt, TextDelta, ThoughtDelta, TurnEvent, TurnFinished
from chatbot.messages import Message
from chatbot.tui.status_line import StatusLine

if TYPE_CHECKING:
    from chatbot.tui.chat.chat_view import ChatView
    from chatbot.tui.prompt_account import PromptAccount


class DrawnTurn:
    """One turn, from its beginning to its end."""

    def __init__(
        self,
        conversation: Conversation,
        chat: "ChatView",
        status: StatusLine,
        account: "PromptAccount",
    ) -> None:
        """Begin to follow a turn of the chat that is open.

        Args:
            conversation: the chat.
            chat: the pane that it is in.
            status: counts the tokens of the chat that is open.
            account: says what its prompt consists of.
        """
        self.conversation = conversation
        self.chat = chat
        self._status = status
        self._account = account
        self._in_sight = asyncio.Event()
        self._in_sight.set()
        self.answer: Message | None = None
        """Once it is there."""
        self._built: PromptBuilt | None = None
        self._num_begun = 0
        """Tokens of the answer that were there before the prompt was built."""

    @property
    def is_in_sight(self) -> bool:
        """Whether the chat is open."""
        return self._in_sight.is_set()

    async def in_sight(self) -> None:
        """Wait until the chat is open."""
        await self._in_sight.wait()

    def go_out_of_sight(self) -> None:
        """Another chat is opened."""
        self._in_sight.clear()
        self._status.elsewhere = self.conversation.title

    def come_back(self) -> None:
        """The chat is open again."""
        self._in_sight.set()
        self._status.elsewhere = ""
        if self._built:
            self._show(self._built)

    def follow(self, event: TurnEvent) -> None:
        """Take note of what happens, and show it where the chat is open."""
        if isinstance(event, PromptBuilt):
            self._built, self._num_begun = event, event.num_generated_tokens
        if isinstance(event, TurnFinished):
            self.answer = event.answer
        if not (self.is_in_sight and self._built):
            return
        match event:
            case PromptBuilt():
                self._show(event)
            case TextDelta(num_tokens=num_tokens) | ThoughtDelta(num_tokens=num_tokens):
                num_new = num_tokens - self._num_begun
                self._status.show_progress(self._built.num_prompt_tokens, num_new)
            case AnswerHeld():
                self._status.pause_progress()
            case TurnFinished(answer=answer) if answer.making and answer.making.statistics:
                if answer.id in self.conversation:
                    self._status.show_result(answer.making.statistics)

    def _show(self, built: PromptBuilt) -> None:
        self._account.show(built)
        self._status.context_length = built.context_length
        self._status.num_tokens = built.num_prompt_tokens
