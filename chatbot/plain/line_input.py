"""Lines of standard input, without holding up the event loop; on a terminal with editing."""

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from chatbot.errors import SettingError

MAX_CHARACTERS: Final = 2**24
"""Of a line: a pipe may never end one."""


class _Reader:
    """Reads a line at a time in a daemon thread: a read cannot be called off, and must not hold up
    leaving. A line that nobody waits for any more is for whoever asks next.
    """

    def __init__(self) -> None:
        self._modes: list[Any] | None = None
        """Of the terminal, where keys are to be shown only while a line is read."""
        self._waiting: asyncio.Future[str | None] | None = None
        self._is_reading = False
        self._left_over: list[str | SettingError | None] = []
        """A line that nobody has asked for since."""

    async def read(self, prompt: str) -> str | None:
        """See ``read_line``."""
        if self._left_over:
            left = self._left_over.pop()
            if isinstance(left, SettingError):
                raise left
            return left
        loop = asyncio.get_running_loop()
        line: asyncio.Future[str | None] = loop.create_future()
        self._waiting = line
        if self._is_reading:
            print(prompt, end="", flush=True)
        else:
            self._is_reading = True
            threading.Thread(target=self._read, args=(prompt, loop), daemon=True).start()
        return await line

    def _read(self, prompt: str, loop: asyncio.AbstractEventLoop) -> None:
        try:
            self._show_keys(is_on=True)
            if prompt and sys.stdout.isatty():
                result: str | SettingError | None = input(prompt)
            else:  # input() would put the prompt among the answers
                print(prompt, end="", file=sys.stderr, flush=True)
                result = _next_line()
        except SettingError as error:
            result = error
        except (EOFError, OSError, ValueError):
            result = None
        self._show_keys(is_on=False)
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._deliver, result)

    def _deliver(self, text: str | SettingError | None) -> None:
        self._is_reading = False
        if self._waiting is not None and not self._waiting.done():
            if isinstance(text, SettingError):
                self._waiting.set_exception(text)
            else:
                self._waiting.set_result(text)
        else:
            self._left_over.append(text)

    @contextlib.contextmanager
    def keys_hidden(self) -> Iterator[None]:
        """Have the terminal show what is typed only while a line is read."""
        import termios

        try:
            self._modes = termios.tcgetattr(sys.stdin)
        except (termios.error, OSError, ValueError):  # no terminal
            yield
            return
        self._show_keys(is_on=False)
        try:
            yield
        finally:
            self._show_keys(is_on=True)
            self._modes = None

    def _show_keys(self, *, is_on: bool) -> None:
        import termios

        if self._modes is None:
            return
        wanted = list(self._modes)
        if not is_on:
            wanted[3] &= ~termios.ECHO
        with contextlib.suppress(termios.error, OSError, ValueError):
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, wanted)


def _next_line() -> str | None:
    """The next line of standard input, or None at its end.

    Raises:
        SettingError: it is too long; it is passed over.
    """
    text = sys.stdin.readline(MAX_CHARACTERS)
    if len(text) < MAX_CHARACTERS or text.endswith("\n"):
        return text.rstrip("\n") if text else None
    while (more := sys.stdin.readline(MAX_CHARACTERS)) and not more.endswith("\n"):
        pass
    raise SettingError(f"A line of more than {MAX_CHARACTERS:,} characters is passed over; cut it.")


_READER: Final = _Reader()
"""There is one standard input."""


async def read_line(prompt: str) -> str | None:
    """One line of standard input without its end, or None at the end of input.

    Raises:
        SettingError: it is too long, and passed over.
    """
    return await _READER.read(prompt)


@contextlib.contextmanager
def edited_lines(complete: Callable[[str], Sequence[str]]) -> Iterator[None]:
    """Have a terminal's lines edited with completion by Tab, and keys that are typed while no line
    is read stay out of what is printed: the next line begins with them.

    Args:
        complete: for a line as far as it is typed, every line that it could become.
    """
    import readline

    found: Sequence[str] = ()

    def next_word(word: str, number: int) -> str | None:
        nonlocal found
        if number == 0:
            line = readline.get_line_buffer()[: readline.get_endidx()]
            skipped = readline.get_begidx()
            found = [whole[skipped:] for whole in complete(line)]
        return found[number] if number < len(found) else None

    readline.set_completer_delims(" ")
    readline.set_completer(next_word)
    is_libedit = "libedit" in (readline.__doc__ or "")
    readline.parse_and_bind("bind ^I rl_complete" if is_libedit else "tab: complete")
    with _READER.keys_hidden():
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, _end_visibly, number)
        yield


def _end_visibly(number: int) -> None:
    """End by the signal that came, with the terminal as it was."""
    _READER._show_keys(is_on=True)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
