"""How fast the screen is: first frame, and from a key to the screen, idle and while streaming.

No test: ``python tests/measure_screen.py [--scripted]`` runs the program in a pseudo-terminal
of its own and prints medians. ``--scripted`` replaces the model by a script of 40 words a
second, so that only the screen is measured.
"""

import argparse
import contextlib
import fcntl
import os
import pty
import re
import select
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

HERE = Path(__file__).parent
KEYS = "αβγδεζηθικλμνξοπρστυφχψω"
QUESTION = "Tell me a long story about a lighthouse and the sea.\r"
READY = "commands · F1"

SCRIPTED = f"""
import sys
import chatbot.session
from chatbot.engine.client import EngineClient
chatbot.session.EngineClient = lambda log: EngineClient(
    log, (sys.executable, {str(HERE / "scripted_engine.py")!r}))
from chatbot.cli import main
sys.exit(main())
"""


class Terminal:
    """The program in a pseudo-terminal, and what it wrote."""

    def __init__(self, command: list[str], env: dict[str, str], columns: int, rows: int) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True
        )
        os.close(slave)
        self.output = ""

    def read(self, seconds: float) -> None:
        """Take in what comes within ``seconds``, at most one piece."""
        if select.select([self.master], [], [], seconds)[0]:
            with contextlib.suppress(OSError):  # it has ended
                self.output += os.read(self.master, 1 << 16).decode("utf-8", "replace")

    def until(self, pattern: str, seconds: float = 90) -> float:
        """Seconds on the clock when ``pattern`` has been written."""
        end = time.perf_counter() + seconds
        while not re.search(pattern, self.output):
            if time.perf_counter() > end:
                raise TimeoutError(f"never written: {pattern}")
            self.read(0.005)
        return time.perf_counter()

    def key_to_screen(self, count: int = 24) -> list[float]:
        """Milliseconds from each of some keys to its letter on the screen."""
        found = []
        for letter in KEYS[:count]:
            pause = time.perf_counter() + 0.13
            while time.perf_counter() < pause:
                self.read(0.005)
            self.output = ""
            sent = time.perf_counter()
            os.write(self.master, letter.encode())
            found.append((self.until(letter, 20) - sent) * 1000)
        return found

    def close(self) -> None:
        """End the program, as its user does."""
        os.write(self.master, b"\x11")
        end = time.perf_counter() + 10
        while self.process.poll() is None and time.perf_counter() < end:
            self.read(0.01)
        self.process.kill()
        os.close(self.master)


def show(name: str, values: list[float], unit: str) -> None:
    """One line: median, and the ninth in ten."""
    high = sorted(values)[int(len(values) * 0.9)]
    print(f"{name:<34} median {statistics.median(values):7.1f} {unit}   p90 {high:7.1f} {unit}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scripted", action="store_true")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--size", default="160x48")
    options = parser.parse_args()
    columns, rows = map(int, options.size.split("x"))
    program = ["-c", SCRIPTED] if options.scripted else ["-m", "chatbot"]
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "answer.txt"
        script.write_text("The sea was calm that night and the lamp turned slowly. " * 400)
        env = {
            **os.environ,
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
            "CHATBOT_CONFIG_DIR": f"{folder}/config",
            "CHATBOT_DATA_DIR": f"{folder}/data",
            "SCRIPT_ANSWER": str(script),
            "SCRIPT_DELAY": "0.025",
        }
        frames = []
        for _ in range(options.runs + 1):  # the first one warms the disk
            terminal = Terminal([sys.executable, *program], env, columns, rows)
            frames.append((terminal.until(READY) - terminal.started) * 1000)
            terminal.close()
        show("first frame", frames[1:], "ms")
        terminal = Terminal([sys.executable, *program], env, columns, rows)
        terminal.until("cpu|cuda|mps")
        show("key to screen, idle", terminal.key_to_screen(), "ms")
        os.write(terminal.master, b"\x15" + QUESTION.encode())
        terminal.until(r"\d+ tokens")
        show("key to screen, answer streaming", terminal.key_to_screen(), "ms")
        ticks = sum(map(int, Path(f"/proc/{terminal.process.pid}/stat").read_text().split()[13:15]))
        end = time.perf_counter() + 4
        while time.perf_counter() < end:
            terminal.read(0.01)
        now = sum(map(int, Path(f"/proc/{terminal.process.pid}/stat").read_text().split()[13:15]))
        share = (now - ticks) / os.sysconf("SC_CLK_TCK") / 4
        print(f"{'processor share of the screen':<34} {share:.0%} of one core while streaming")
        terminal.close()


if __name__ == "__main__":
    main()
