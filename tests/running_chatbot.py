"""The program as a process of its own, on pipes or on a pseudo-terminal.

``SCRIPTED`` runs it on the scripted engine, ``REAL`` on the real one.
"""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

HERE = Path(__file__).parent
SCRIPTED = (sys.executable, str(HERE / "scripted_chatbot.py"))
REAL = (sys.executable, "-m", "chatbot")


def environment(**changes: str) -> dict[str, str]:
    """The environment of a process under test; nothing of the terminal it was started in."""
    kept = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR")}
    return {**kept, "PYTHONPATH": str(HERE.parent), "TERM": "xterm-256color", **changes}


def run_chatbot(
    *arguments: str,
    stdin: bytes = b"",
    command: tuple[str, ...] = SCRIPTED,
    seconds: float = 60,
    stdout: int | IO[str] = subprocess.PIPE,
    **env: str,
) -> subprocess.CompletedProcess[str]:
    """Run the program to its end; what it writes elsewhere than to a pipe is not in the result."""
    done = subprocess.run(
        [*command, *arguments],
        input=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=seconds,
        env=environment(**env),
        check=False,
    )
    out, err = (done.stdout or b"").decode(), done.stderr.decode()
    if "Traceback" in err or "Fatal Python error" in err:
        raise AssertionError(f"it broke:\n{err}")
    return subprocess.CompletedProcess(done.args, done.returncode, out, err)


class PipedChatbot:
    """The program on pipes, line by line."""

    def __init__(self, *arguments: str, command: tuple[str, ...] = SCRIPTED, **env: str) -> None:
        self.process = subprocess.Popen(
            [*command, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(**env),
            start_new_session=True,
        )
        self.out = ""
        self.err = ""
        self._threads = [
            threading.Thread(target=self._collect, args=(name,), daemon=True)
            for name in ("out", "err")
        ]
        for thread in self._threads:
            thread.start()

    def _collect(self, name: str) -> None:
        stream = self.process.stdout if name == "out" else self.process.stderr
        assert stream is not None
        while piece := os.read(stream.fileno(), 1 << 16):
            setattr(self, name, getattr(self, name) + piece.decode("utf-8", "replace"))

    def send(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def until(self, condition: Callable[[], object], seconds: float = 30) -> None:
        """Wait until something holds; when it never does, fail with what was written."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end or self.process.poll() is not None:
                for thread in self._threads:
                    thread.join(1)
                if condition():
                    return
                raise AssertionError(
                    f"never (status {self.process.returncode}):\n{self.out}\n--- and\n{self.err}"
                )
            time.sleep(0.005)

    def end(self, seconds: float = 30) -> int:
        """Close its input and wait for its end; returns the exit status."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        status = self.process.wait(seconds)
        for thread in self._threads:
            thread.join(5)
        for stream in (self.process.stdout, self.process.stderr):
            if stream:
                stream.close()
        if "Traceback" in self.err or "Fatal Python error" in self.err:
            raise AssertionError(f"it broke:\n{self.err}")
        return status

    def __enter__(self) -> "PipedChatbot":
        return self

    def __exit__(self, *exception: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        if exception[0] is None or (self.process.stdin and not self.process.stdin.closed):
            with contextlib.suppress(AssertionError):
                self.end()


class Terminal:
    """The program in a pseudo-terminal, and every byte that it wrote."""

    def __init__(
        self,
        *arguments: str,
        command: tuple[str, ...] = SCRIPTED,
        columns: int = 100,
        rows: int = 30,
        piped_output: bool = False,
        **env: str,
    ) -> None:
        self.written = b""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen(
            [*command, *arguments],
            stdin=slave,
            stdout=subprocess.PIPE if piped_output else slave,
            stderr=slave,
            env=environment(COLORTERM="truecolor", **env),
            start_new_session=True,
            # So that Ctrl+C on this terminal is a signal to the program.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)

    def type(self, text: str | bytes) -> None:
        """Send keys, all at once."""
        os.write(self._master, text.encode() if isinstance(text, str) else text)

    def paste(self, text: bytes) -> None:
        """Paste as terminals do for programs that asked for bracketed paste."""
        self.type(b"\x1b[200~" + text + b"\x1b[201~")

    def read(self, seconds: float = 0.05) -> bool:
        """Take in what comes within ``seconds``, at most one piece."""
        if not select.select([self._master], [], [], seconds)[0]:
            return False
        try:
            piece = os.read(self._master, 1 << 16)
        except OSError:  # it has ended
            return False
        self.written += piece
        return bool(piece)

    def until(self, pattern: str, seconds: float = 30) -> None:
        """Wait until the text on the wire, without its escape sequences, has ``pattern``."""
        end = time.monotonic() + seconds
        while not re.search(pattern, self.text, re.DOTALL):
            if time.monotonic() > end or (not self.read() and self.process.poll() is not None):
                raise AssertionError(f"never written: {pattern!r}; there was\n{self.text}")

    @property
    def shows_keys(self) -> bool:
        """Whether the terminal shows what is typed."""
        return bool(termios.tcgetattr(self._master)[3] & termios.ECHO)

    def close(self) -> None:
        """Close it, as one closes a window."""
        with open(os.devnull) as null:
            os.dup2(null.fileno(), self._master)

    def forget(self) -> None:
        """Look only at what is written from now on."""
        self.written = b""

    @property
    def text(self) -> str:
        """What was written, without escape sequences."""
        text = self.written.decode("utf-8", "replace")
        return re.sub(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(\x07|\x1b\\)", "", text)

    def end(self, seconds: float = 20) -> int:
        """Read on until the program has ended; returns its exit status."""
        end = time.monotonic() + seconds
        while self.process.poll() is None:
            if time.monotonic() > end:
                raise AssertionError(f"it does not end; there was\n{self.text}")
            self.read()
        while self.read(0):
            pass
        return self.process.returncode

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *exception: object) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self._master)
