"""How fast the screen is: first frame, from a key to the screen, and whether it costs tokens.

No test: ``python tests/measure_screen.py [--scripted] [--only start keys rate]`` runs the program
in a pseudo-terminal of its own. ``--scripted`` replaces the model by a script of 200 words a
second, so that only the screen is measured; ``keys`` and ``rate`` are then measured in an empty
chat, in one of 500 messages with 20,000 characters of code, and while such code streams. It is said
to run on a GPU, as a model of that speed does; with ``--device cpu`` the screen leaves it more of
the processor.
"""

import argparse
import contextlib
import fcntl
import json
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
from itertools import count, islice
from pathlib import Path

HERE = Path(__file__).parent
KEYS = [chr(code) for code in range(0x100, 0x17F) if chr(code).isalpha()]
"""Letters that stand nowhere else on the screen."""

STORY = "The sea was calm that night and the lamp turned slowly.\n" * 8 + "\n"
CODE = "".join(f"def step_{n}(value):\n    return value + {n}\n\n" for n in range(450))
NUM_MESSAGES = 500
FIRST, LAST = "firstword", "lastword"
NUMBERS = count(1)
"""For those words: answers of runs before may be on the screen."""
QUESTION = "Tell me a long story about a lighthouse and the sea.\r"
READY = "for commands"
LONGEST = 100
"""Characters that anything that is waited for has at most."""

SCRIPTED = f"""
import sys
import chatbot.session
from chatbot.engine.client import EngineClient
chatbot.session.EngineClient = lambda log: EngineClient(
    log, (sys.executable, {str(HERE / "scripted_engine.py")!r}))
from chatbot.cli import main
sys.exit(main())
"""

BARE = f"""
from textual.app import App
from textual.widgets import Input, Label
class Bare(App):
    BINDINGS = [("ctrl+q", "quit")]
    def compose(self):
        yield Label({READY!r})
        yield Input()
Bare().run()
"""
"""As little as a program with Textual can be."""


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
        self.pieces: list[str] = []

    def read(self, seconds: float) -> str:
        """What comes within ``seconds``, at most one piece."""
        if select.select([self.master], [], [], seconds)[0]:
            with contextlib.suppress(OSError):  # it has ended
                self.pieces.append(os.read(self.master, 1 << 16).decode("utf-8", "replace"))
                return self.pieces[-1]
        return ""

    def until(self, pattern: str, seconds: float = 90) -> float:
        """Seconds on the clock when ``pattern`` has been written."""
        end = time.perf_counter() + seconds
        # To look through everything each time would take as much of the processors as the screen.
        found = self.output
        while not re.search(pattern, found):
            if time.perf_counter() > end:
                raise TimeoutError(f"never written: {pattern}")
            found = found[-LONGEST:] + self.read(0.005)
        return time.perf_counter()

    @property
    def output(self) -> str:
        """What was written since ``forget``."""
        return "".join(self.pieces)

    def forget(self) -> None:
        """Look only at what is written from now on."""
        self.pieces.clear()

    def key_to_screen(self, count: int = len(KEYS)) -> list[float]:
        """Milliseconds from each of some keys to its letter on the screen."""
        found = []
        for number, letter in enumerate(KEYS[:count]):
            if number % 40 == 0:
                os.write(self.master, b"\x15")  # or the prompt would grow
            pause = time.perf_counter() + 0.05
            while time.perf_counter() < pause:
                self.read(0.005)
            self.forget()
            sent = time.perf_counter()
            os.write(self.master, letter.encode())
            found.append((self.until(letter, 20) - sent) * 1000)
        return found

    def stream(self, number: int) -> tuple[float, float, float]:
        """Of an answer: seconds from its first word to its last, the frames a second in between,
        and the share of a core that the program took."""
        self.until(f"{FIRST}{number}")
        start, before = time.perf_counter(), self.processor_seconds()
        self.forget()
        seconds = self.until(f"{LAST}{number}") - start
        frames = set(re.findall(r"(\d+) tokens", self.output))
        return seconds, len(frames) / seconds, (self.processor_seconds() - before) / seconds

    def processor_seconds(self) -> float:
        """What the program has taken so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().split()
        return sum(map(int, fields[13:15])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        """End the program, as its user does."""
        os.write(self.master, b"\x11")
        end = time.perf_counter() + 10
        while self.process.poll() is None and time.perf_counter() < end:
            self.read(0.01)
        self.process.kill()
        os.close(self.master)


def show(name: str, values: list[float], unit: str) -> None:
    """One line: median, and the ninety-ninth in a hundred."""
    high = sorted(values)[min(int(len(values) * 0.99), len(values) - 1)]
    print(
        f"{name:<40} median {statistics.median(values):7.1f} {unit}   p99 {high:7.1f} {unit}",
        flush=True,
    )


class Stage:
    """A folder of settings and chats, and the program on it."""

    def __init__(self, folder: str, program: list[str], columns: int, rows: int) -> None:
        self.folder, self.program, self.columns, self.rows = folder, program, columns, rows
        self.env = {
            **os.environ,
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
            "CHATBOT_CONFIG_DIR": f"{folder}/config",
            "CHATBOT_DATA_DIR": f"{folder}/data",
            "SCRIPT_ANSWER": f"{folder}/answer.txt",
            "SCRIPT_DELAY": "0.005",
        }
        # Where it is set, every start would compile the program anew, which no user's does.
        self.env.pop("PYTHONDONTWRITEBYTECODE", None)

    def write_answer(self, text: str, number: int) -> None:
        """What the script answers, between two words that no other answer has."""
        Path(self.folder, "answer.txt").write_text(f"{FIRST}{number} {text} {LAST}{number}")

    def import_chat(self) -> None:
        """Have a long chat with long code near its end."""
        turns = []
        for number in range(NUM_MESSAGES // 2):
            text = f"```python\n{CODE}```" if number == NUM_MESSAGES // 2 - 2 else STORY
            turns += [{"from": "human", "value": "And then?"}, {"from": "gpt", "value": text}]
        file = Path(self.folder, "chat.json")
        file.write_text(json.dumps([{"id": "long", "conversations": turns}]))
        command = [sys.executable, "-m", "chatbot", "chats", "import", str(file)]
        subprocess.run(command, env=self.env, check=True, stdout=subprocess.DEVNULL)

    def start(self, *arguments: str) -> Terminal:
        """The program, which does nothing else beside: the manual is not indexed."""
        alone = ("-k", "none", "-t", "none", "--max-tokens", "100000")
        return self.run(*self.program, *arguments, *alone)

    def run(self, *arguments: str) -> Terminal:
        """Anything in Python."""
        return Terminal([sys.executable, *arguments], self.env, self.columns, self.rows)

    def ask(self, terminal: Terminal) -> None:
        """Ask, once the model is there."""
        os.write(terminal.master, b"\x15" + QUESTION.encode())


def measure_start(stage: Stage, runs: int) -> None:
    """To the first frame, of the program and of a bare one, and the help of the command line."""
    frames: list[float] = []
    bare: list[float] = []
    helps = []
    for _ in range(runs + 1):  # the first one warms the disk
        for found, program in ((bare, ["-c", BARE]), (frames, stage.program)):
            terminal = stage.run(*program)  # alone: two that start together slow each other down
            found.append((terminal.until(READY) - terminal.started) * 1000)
            terminal.close()
        started = time.perf_counter()
        command = [sys.executable, "-m", "chatbot", "--help"]
        subprocess.run(command, env=stage.env, check=True, stdout=subprocess.DEVNULL)
        helps.append((time.perf_counter() - started) * 1000)
    show("first frame", frames[1:], "ms")
    show("first frame of a bare Textual program", bare[1:], "ms")
    show("--help", helps[1:], "ms")


def measure_keys(stage: Stage, name: str, text: str, *arguments: str) -> None:
    """From a key to the screen while nothing happens, and while an answer streams."""
    number = next(NUMBERS)
    stage.write_answer(text, number)
    terminal = stage.start(*arguments)
    terminal.until("cpu|cuda|mps")
    show(f"key to screen, {name}, idle", terminal.key_to_screen(40), "ms")
    stage.ask(terminal)
    terminal.until(f"{FIRST}{number}")
    show(f"key to screen, {name}, streaming", terminal.key_to_screen(), "ms")
    terminal.close()


def measure_rate(stage: Stage, name: str, text: str, runs: int, *arguments: str) -> None:
    """The same answer on the screen and as plain text, by turns."""
    ratios, frames, shares = [], [], []
    for number in islice(NUMBERS, runs):
        stage.write_answer(text, number)
        plain = stage.start("ask", "--no-save", QUESTION.strip())
        headless, _, _ = plain.stream(number)
        plain.close()
        terminal = stage.start(*arguments)
        terminal.until("cpu|cuda|mps")
        stage.ask(terminal)
        seconds, rate, share = terminal.stream(number)
        terminal.close()
        ratios.append(headless / seconds)
        frames.append(rate)
        shares.append(share)
    print(
        f"{name}: {statistics.median(ratios):.3f} of the tokens a second without the screen, "
        f"{statistics.median(frames):.1f} frames a second, {statistics.median(shares):.0%} of a "
        "core",
        flush=True,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scripted", action="store_true")
    parser.add_argument("--only", nargs="+", default=["start", "keys", "rate"])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--size", default="160x48")
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    columns, rows = map(int, options.size.split("x"))
    program = ["-c", SCRIPTED] if options.scripted else ["-m", "chatbot"]
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(folder, program, columns, rows)
        stage.env["SCRIPT_DEVICE"] = options.device
        if "start" in options.only:
            measure_start(stage, options.runs)
        if "keys" in options.only:
            measure_keys(stage, "empty chat", STORY * 60)
        if options.scripted:
            measure_scripted(stage, options.only)


def measure_scripted(stage: Stage, only: list[str]) -> None:
    """What needs an answer that is known: see the module's text."""
    for name, answer, arguments in (
        ("empty chat", STORY * 10, ()),
        ("code streams", f"\n\n```python\n{CODE}```\n\n", ()),
        ("500 messages", STORY * 10, ("-c",)),
    ):
        if arguments:
            stage.import_chat()
        if "rate" in only:
            measure_rate(stage, name, answer, 3, *arguments)
        if "keys" in only and (arguments or name == "code streams"):
            measure_keys(stage, name, answer * 6 if arguments else answer, *arguments)


if __name__ == "__main__":
    main()
