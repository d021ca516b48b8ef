"""What all ways to ask share around an answer: progress, Ctrl+C, and no empty chat left behind."""

import asyncio
import contextlib
import signal
import sys

from chatbot.conversation.keeping import says_something
from chatbot.conversation.manager import NOT_READ
from chatbot.errors import ChatbotError, StoppedError
from chatbot.plain.load_progress import LoadPrinter
from chatbot.plain.preparing import prepare_first
from chatbot.plain.progress_line import ProgressLine
from chatbot.session import Session


def show_progress(session: Session) -> None:
    """Have what is wrong, and what the engine does, told on standard error."""
    for problem in session.problems:
        print(problem, file=sys.stderr)
    session.engine.on_status(LoadPrinter().show)
    session.on_problem(ProgressLine.print)


async def forget_unanswered(session: Session) -> None:
    """Leave no new chat behind in which nothing was answered, as by a model that is not there."""
    messages = session.manager.conversation.messages()
    has_answer = any(m.role == "assistant" and says_something(m) for m in messages)
    if session.store and not has_answer:
        await session.manager.settled()
        await session.manager.delete_chat()


class Interrupt:
    """Ctrl+C, at whatever moment of a run it comes: none is lost between two of its stages."""

    def __init__(self, session: Session) -> None:
        """Listen for it, inside the event loop, to the end of the run."""
        self.has_come = False
        """To be asked once the answer has begun: before, nothing could be stopped."""
        self._session = session
        self._index: asyncio.Task[None] | None = None
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._come)

    def _come(self) -> None:
        self.has_come = True
        if self._index:
            self._index.cancel()
        self._session.manager.stop()

    async def prepare(self, *, has_files: bool = False) -> None:
        """Have the folders indexed and the model loaded, side by side, or break that off.

        A model that cannot be loaded is told of by the turn that needs it.

        Args:
            has_files: files are to be read next, which need not begin if it was broken off.

        Raises:
            ChatbotError: the folders cannot be indexed.
            StoppedError: it was broken off before files.
        """
        load = asyncio.create_task(_loaded(self._session))
        self._index = asyncio.create_task(prepare_first(self._session))
        try:
            await self._index
        except asyncio.CancelledError:
            self._session.retrieval.cancel_index()
        finally:
            load.cancel()  # the engine goes on with it, for the turn
        if has_files and self.has_come:
            raise StoppedError(NOT_READ)


async def _loaded(session: Session) -> None:
    with contextlib.suppress(ChatbotError):
        await session.manager.load_model()
