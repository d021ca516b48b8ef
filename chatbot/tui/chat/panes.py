"""The pane of the chat that is open, and one out of sight in which an answer is being written.

Says which one a turn is drawn in, and keeps status and ribbon to the chat that is open. Draws no
message.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from textual.widget import Widget

from chatbot.conversation.tree import Conversation
from chatbot.events import AnswerHeld, PromptBuilt, TextDelta, ThoughtDelta, TurnEvent, TurnFinished
from chatbot.messages import Message
from chatbot.tui.chat.chat_view import ChatView
from chatbot.tui.prompt_account import PromptAccount
from chatbot.tui.status_line import StatusLine


class DrawnTurn:
    """One turn, from its beginning to its end."""

    def __init__(
        self,
        conversation: Conversation,
        chat: ChatView,
        status: StatusLine,
        account: PromptAccount,
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
        self.chat.display = False

    def come_back(self) -> None:
        """The chat is open again."""
        self._in_sight.set()
        self.chat.display = True
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


class ChatPanes:
    """One pane for the chat that is open, and another one while a chat that was left is written."""

    def __init__(
        self,
        make: Callable[[], ChatView],
        conversation: Conversation,
        status: StatusLine,
        account: PromptAccount,
        is_held: Callable[[], bool],
    ) -> None:
        """Begin with one pane.

        Args:
            make: makes one.
            conversation: the chat that is open.
            status: counts the tokens of the chat that is open.
            account: says what its prompt consists of.
            is_held: whether the user has an answer that is being written wait between two tokens.
        """
        self.shown = make()
        """That of the chat that is open."""
        self._turns: list[DrawnTurn] = []
        """What is being drawn; more than one where the last one takes the place of another, or is
        about to be refused because of it."""
        self._make = make
        self._conversation = conversation
        self._status = status
        self._account = account
        self._is_held = is_held

    @property
    def turn(self) -> DrawnTurn | None:
        """What is being drawn, in whichever."""
        return self._turns[-1] if self._turns else None

    def begin_turn(self, conversation: Conversation) -> DrawnTurn:
        """Have a turn drawn in the pane of the chat that is open."""
        turn = DrawnTurn(conversation, self.shown, self._status, self._account)
        self._turns.append(turn)
        return turn

    def end_turn(self, turn: DrawnTurn) -> None:
        """Nothing of it comes any more that would have to be drawn out of sight."""
        self._turns.remove(turn)
        if not turn.is_in_sight:
            self.say_where()
            turn.chat.remove()

    def say_where(self) -> None:
        """Say in the status line in which chat an answer is written, or held, out of sight."""
        turn = self.turn
        if turn is None or turn.is_in_sight:
            self._status.elsewhere = ""
        else:
            self._status.elsewhere = f"{'‖' if self._is_held() else '✎'} {turn.conversation.title}"

    def is_other(self, conversation: Conversation) -> bool:
        """Whether this is another chat than the last time; then it is the one that is open."""
        before, self._conversation = self._conversation, conversation
        return before is not conversation

    async def change_to(self, conversation: Conversation) -> bool:
        """Have the pane for this chat in sight; returns whether the chat is in it already, with the
        answer that is being written."""
        turn, before = self.turn, self.shown
        if turn is None:
            return False
        is_of_turn, is_shown = turn.conversation is conversation, turn.chat is before
        if is_of_turn == is_shown:
            return is_shown
        if is_shown:
            turn.go_out_of_sight()
            self.say_where()
            self.shown = self._make()
            await cast(Widget, before.parent).mount(self.shown, before=before)
            return False
        self.shown = turn.chat
        turn.come_back()
        self.say_where()
        await before.remove()
        return True
