"""When each question is asked: at once, or after the answers before it; and what becomes of those
that are not asked.

Knows not how a question is asked, nor how an answer is shown.
"""

import contextlib
from collections.abc import Callable

from chatbot.conversation.manager import ConversationManager
from chatbot.conversation.unsent import keep_unsent, take_unsent
from chatbot.tui.prompt import Prompt, Sent
from chatbot.tui.waiting import WaitingQuestions


class Asking:
    """Asks what is sent, each in its turn."""

    def __init__(
        self,
        manager: ConversationManager,
        prompt: Prompt,
        waiting: WaitingQuestions,
        ask: Callable[[Sent], object],
        is_free: Callable[[], bool],
    ) -> None:
        """Begin with no question.

        Args:
            manager: says which chat is open, and whether an answer is being written.
            prompt: what is not asked comes back there.
            waiting: holds what waits.
            ask: asks a question now.
            is_free: whether no question, and no command, is being dealt with.
        """
        self._manager = manager
        self._prompt = prompt
        self._waiting = waiting
        self._ask = ask
        self._is_free = is_free
        self._is_choosing = False
        """The user chooses one of several answers, which the next question is to follow."""

    def add(self, question: Sent) -> None:
        """Ask a question when it is its turn."""
        chat_id = self._manager.conversation.id if self._manager.is_busy else ""
        self._waiting.add(question._replace(chat_id=chat_id))
        self.ask_next()

    def ask_next(self) -> None:
        """Ask the question that waits longest, unless an answer is being written, or chosen."""
        if (
            self._is_choosing
            or self._manager.is_busy
            or not self._is_free()
            or not (question := self._waiting.take_first())
        ):
            return
        if question.chat_id in ("", self._manager.conversation.id):
            self._ask(question)
        else:  # another chat was opened meanwhile
            self.take_back_all()
            self._prompt.give_back(question.text)

    def choose_answer(self, *, is_over: bool) -> None:
        """Ask nothing while the user chooses one of several answers, which it is to follow."""
        self._is_choosing = not is_over
        self._prompt.app.call_later(self.ask_next)  # below the answer, once that is shown

    def take_back_last(self) -> bool:
        """Put the question that was sent last and waits still into the prompt; False: none does."""
        question = self._waiting.take_last()
        if question:
            self._prompt.give_back(question.text)
        return question is not None

    def take_back_all(self) -> None:
        """Put all that waits into the prompt: what it was to follow is not as it was meant."""
        while self.take_back_last():
            pass

    def keep_unsent(self) -> None:
        """Keep for the next start what waits, and what stands in the prompt."""
        if unsent := "\n".join(filter(None, (*self._waiting.texts, self._prompt.unsent))):
            with contextlib.suppress(OSError):  # the chats, on the same disk, say that it is full
                keep_unsent(unsent)

    def bring_back_unsent(self) -> None:
        """Put into the prompt what was kept at the end of the last run."""
        if unsent := take_unsent():
            self._prompt.give_back(unsent)
