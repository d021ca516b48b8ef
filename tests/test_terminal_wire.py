"""What reaches the terminal: every byte of real runs, with hostile and with harmless texts.

Whatever a model, a paste, a file name or an error holds, the program may put no kind of
escape sequence on the wire that it does not also put there without it.
"""

import re
import signal
import unicodedata
from pathlib import Path

import pytest

from tests.running_chatbot import SCRIPTED, Terminal

pytestmark = pytest.mark.timeout(60)

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"

SEQUENCES = (
    b"\x1b]52;c;SEVJTUxJQ0g=\x07"  # the clipboard, ended by BEL
    b"\x1b]52;p;SEVJTUxJQ0g=\x1b\\"  # and by ST
    b"\x1b]0;HEIMLICH\x07\x1b]2;HEIMLICH\x1b\\"  # the title
    b"\x1b]8;;http://HEIMLICH.example/\x1b\\\x1b]8;;\x07"  # a link
    b"\x1b]1337;File=HEIMLICH\x07\x1b]4;1;#414243\x07\x1b]10;?\x07"
    b"\x1b[4321;1234H\x1b[2J\x1b[3J\x1b[1;31;4321m\x1b[6n\x1b[c\x1b[>4321c\x1b[?4321h"
    b"\x1b[4321A\x1b[4321L\x1b[4321;1234r\x1b[4321t\x1b[21t\x1b[1 q\x1b[!p"
    b"\x1bP+q544e\x1b\\\x1bP$q4321\x1b\\"  # DCS
    b"\x1b_HEIMLICH\x1b\\\x1b^HEIMLICH\x1b\\\x1bXHEIMLICH\x1b\\"  # APC, PM, SOS
    b"\x1bc\x1b7\x1b8\x1bD\x1bM\x1bE\x1bH\x1bZ\x1bN\x1bO\x1b=\x1b>\x1b#8\x1b(0\x1b)B\x1b%G"
    b"\x07\x08\x0b\x0c\x0e\x0f\x05\x00\x1a\x7f"
    b"\xc2\x9b4321;1234H\xc2\x9d0;HEIMLICH\xc2\x9c\xc2\x90HEIMLICH\xc2\x9c\xc2\x84\xc2\x8d\xc2\x9f"
)

MARKDOWN = (
    "\n\n# Title \x1b]0;HEIMLICH\x07\n\n- item \x1b[4321;1234H\n\n`code \x1b[6n`\n\n"
    "```python\nx = '\x1b]52;c;SEVJTUxJQ0g=\x07'\n```\n\n```\x1b]0;HEIMLICH\x07\nx\n```\n\n"
    "| a\x1b[2J | b |\n|---|---|\n| \x9b4321;1234H | 2 |\n\n[a link \x1b[6n](http://x/\x1b[6n)\n\n"
    "> quote \x07\n\n&#27;[4321;1234H &#x1b;]0;HEIMLICH&#7; &#155;4321;1234H\n"
).encode()

BROKEN_UTF_8 = (
    b"\xff\xfe \xc3( \xe2\x82 \xf0\x9f\x98 \xed\xa0\x80 \xc0\x9b4321;1234H \x9b4321;1234H"
)

HOSTILE = (
    b"start "
    + SEQUENCES
    + b" "
    + b" ".join(bytes([byte]) for byte in SEQUENCES if byte < 0x80)  # split over words
    + b" \x1b ]52;c;SEVJTUxJQ0g= \x07 \x1b] 52;c;SEVJTUxJQ0g= \x07 \x1b [ 4321;1234H "
    + BIDI.encode()
    + MARKDOWN
    + b" unfinished \x1b]0;HEIMLICH "
    + b"finish"
)

HARMLESS = (
    b"start\n\n# Title\n\n- item\n\n`code`\n\n```python\nx = 1\n```\n\n"
    b"| a | b |\n|---|---|\n| 1 | 2 |\n\n[a link](http://x/)\n\n> quote\n\nfinish"
)

CONTROL = re.compile(
    "\x1b\\[[0-?]*[ -/]*[@-~]"
    "|\x1b[\\]PX^_](?:[^\x07\x1b]|\x1b(?!\\\\))*(?:\x07|\x1b\\\\)?"
    "|\x1b[ -/]*[0-~]?"
    "|[\x00-\x09\x0b-\x1f\x7f-\x9f]",
    re.DOTALL,
)


def kinds_of(written: bytes) -> set[str]:
    """The kinds of control sequences: each without its numbers, where it only has numbers."""
    kinds = set()
    for sequence in CONTROL.findall(written.decode("utf-8", "strict")):
        if re.fullmatch(r"\x1b\[[\d;:]*[A-Za-ln-z]", sequence):
            kinds.add("CSI " + sequence[-1])  # colours and cursor positions vary
        elif re.fullmatch(r"\x1b\[[\d;:]*m", sequence):
            kinds.add("SGR")
        else:
            kinds.add(sequence)
    return kinds


def assert_clean(written: bytes, harmless: bytes) -> None:
    """Nothing of the payload acts on the terminal."""
    kinds, usual = kinds_of(written), kinds_of(harmless)
    assert kinds <= usual, f"not our own: {sorted(kinds - usual)!r}"
    text = written.decode()
    assert not re.search(r"\x1b(\](52|0|2|8|1337);|[_X^P]|\[6n)", text)
    assert "\x08" not in text
    assert not re.search(r"\x1b\[[^@-~]*(4321|1234)", text)
    # BEL ends a sequence of our own at most.
    assert "\x07" not in re.sub(r"\x1b\][^\x07\x1b]*\x07", "", text)
    assert not [c for c in text if c in BIDI or "\x7f" <= c <= "\x9f"]
    assert not [c for c in text if unicodedata.category(c) == "Cs"]


def write(folder: Path, name: str, content: bytes) -> str:
    """A file for the scripted engine to answer with; as a real one it decodes what it can."""
    text = content.decode("utf-8", "replace") + BROKEN_UTF_8.decode("latin-1")
    file = folder / name
    file.write_text(text if name == "hostile" else content.decode(), newline="")
    return str(file)


def chat_in_the_tui(
    folder: Path, name: str, content: bytes, last_words: str = "first after"
) -> bytes:
    """Everything the TUI writes while one question is answered, until ``last_words`` stand in the
    line below it.
    """
    script = write(folder, name, content)
    with Terminal(SCRIPT_ANSWER=script, SCRIPT_DELAY="0.001", rows=200, columns=120) as terminal:
        terminal.until("for commands")
        terminal.until("●")
        terminal.type("hello\r")
        terminal.until(f"finish.*{last_words}")
        terminal.type("\x11")
        assert terminal.end() == 0
        return terminal.written


@pytest.fixture(scope="module")
def harmless_tui(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A run of the TUI in which nothing hostile is said, but every kind of thing happens."""
    folder = tmp_path_factory.mktemp("harmless")
    patch = pytest.MonkeyPatch()
    for name in ("CONFIG", "DATA", "CACHE"):
        patch.setenv(f"CHATBOT_{name}_DIR", str(folder / name.lower()))
    script = write(folder, "harmless", HARMLESS)
    with Terminal(SCRIPT_ANSWER=script, SCRIPT_DELAY="0.001", rows=200, columns=120) as terminal:
        terminal.until("for commands")
        terminal.until("●")
        terminal.paste(b"pasted question")
        terminal.until("pasted question")
        terminal.type("\r")
        terminal.until("finish.*tokens")
        terminal.type("/load none.json\r")
        terminal.until("cannot be read")
        terminal.type("\x11")
        assert terminal.end() == 0
        written = terminal.written
    patch.undo()
    return written


def test_a_hostile_answer_in_the_tui(tmp_path: Path, harmless_tui: bytes) -> None:
    written = chat_in_the_tui(tmp_path, "hostile", HOSTILE, "sequences removed")  # it is said
    assert_clean(written, harmless_tui)


def test_controls_spelled_as_entities(tmp_path: Path, harmless_tui: bytes) -> None:
    entities = b"start &#8238;a &#x2066;b &rlm;c &#27;[2J `&#8238;` ``` &#8238;\n\nfinish"
    assert_clean(chat_in_the_tui(tmp_path, "entities", entities), harmless_tui)


def test_broken_utf_8_on_the_keyboard_does_not_end_the_tui(harmless_tui: bytes) -> None:
    with Terminal(SCRIPT_DELAY="0.001", rows=200, columns=120) as terminal:
        terminal.until("for commands")
        terminal.until("●")
        terminal.paste(b"first " + BROKEN_UTF_8 + b" last")
        terminal.until("last")
        terminal.type("\r")
        terminal.until("You said: .*first \ufffd.*all there is.*tokens")
        terminal.type("\x11")
        assert terminal.end() == 0
        assert_clean(terminal.written, harmless_tui)


def test_an_escape_in_a_paste_presses_no_keys(harmless_tui: bytes) -> None:
    with Terminal(SCRIPT_DELAY="0.001", rows=200, columns=120) as terminal:
        terminal.until("for commands")
        terminal.until("●")
        terminal.paste(b"first \x1b]0;\rHEIMLICH " + SEQUENCES.replace(b"\x07", b"") + b" last")
        terminal.type("\r")
        terminal.until("You said: first.*last.*tokens", seconds=4)
        terminal.type("\x11")
        assert terminal.end() == 0
        assert_clean(terminal.written, harmless_tui)


def test_hostile_paste_names_and_errors_in_the_tui(harmless_tui: bytes) -> None:
    """Terminals take the escapes out of a paste; all other controls can be in it."""
    payload = SEQUENCES.replace(b"\x1b", b"") + BIDI.encode()
    line = re.sub(rb"[\x0b\x0c]|\xc2\x85", b"", payload)
    with Terminal(SCRIPT_DELAY="0.001", rows=200, columns=120) as terminal:
        terminal.until("for commands")
        terminal.until("●")
        terminal.paste(b"first " + payload + b" last")
        terminal.until("last")
        terminal.type("\r")
        terminal.until("You said: first.*all there is.*tokens")
        terminal.paste(b"/load none " + line + b"no-such-file")
        terminal.until("/load none")
        terminal.type("\r")
        terminal.until("cannot be read")
        terminal.type("\x1b[18~\x7f")  # F7 and Backspace: all of what was given back
        terminal.paste(b"/model missing " + line + b"no-such-model")
        terminal.type("\r")
        terminal.until("There is no model")
        terminal.type("\x11")
        assert terminal.end() == 0
        assert_clean(terminal.written, harmless_tui)


def chat_in_plain_mode(script: str, payload: bytes) -> bytes:
    with Terminal("--plain", SCRIPT_ANSWER=script, SCRIPT_DELAY="0.0005") as terminal:
        terminal.until("> $")
        terminal.type("hello\n")
        terminal.until("finish.*> $")
        for line in (b"/load none " + payload, b"/no-such-command" + payload):
            terminal.type(line + b"no-such\n")
            terminal.until(r"(cannot be read|/help lists them)[^>]*> $")
        terminal.type("quit\n")
        assert terminal.end() == 0
        return terminal.written


def test_a_hostile_answer_and_hostile_names_in_plain_mode(tmp_path: Path) -> None:
    harmless = chat_in_plain_mode(write(tmp_path, "harmless", HARMLESS), b"x")
    controls = "\x9b4321;1234H\u202e\x90HEIMLICH\x9c".encode()
    written = chat_in_plain_mode(write(tmp_path, "hostile", HOSTILE), controls)
    echo = b"/load none " + controls  # the terminal's own, or the line editor's
    assert_clean(written.replace(echo, b"").replace(controls, b""), harmless)


def test_keys_typed_in_one_burst_keep_their_order() -> None:
    with Terminal(SCRIPT_DELAY="0.001") as terminal:
        terminal.until("for commands")
        terminal.until("●")
        terminal.type("abc\rdef")
        terminal.until("You said: abc.*all there is.*tokens")
        assert "abcdef" not in terminal.text
        terminal.forget()
        terminal.type("ghi\r")
        terminal.until("You said: defghi")
        terminal.type("\x11")
        assert terminal.end() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_end_leaves_the_terminal_as_it_was(
    tmp_path: Path, number: signal.Signals
) -> None:
    """In the middle of an answer, too."""
    script = write(tmp_path, "long", b"word " * 4000)
    with Terminal(SCRIPT_ANSWER=script, SCRIPT_DELAY="0.01") as terminal:
        terminal.until("for commands")
        terminal.until("●")
        assert not terminal.shows_keys
        terminal.type("hello\r")
        terminal.until("word word")
        terminal.process.send_signal(number)
        assert terminal.end() == 128 + number
        assert terminal.shows_keys
        assert b"\x1b[?1049l" in terminal.written
        assert b"\x1b[?2004l" in terminal.written


def test_a_terminal_that_is_closed_takes_the_program_along(tmp_path: Path) -> None:
    script = write(tmp_path, "long", b"word " * 4000)
    with Terminal(SCRIPT_ANSWER=script, SCRIPT_DELAY="0.01") as terminal:
        terminal.until("for commands")
        terminal.until("●")
        terminal.type("hello\r")
        terminal.until("word word")
        terminal.close()
        assert terminal.process.wait(20) == -signal.SIGHUP


def test_the_screen_needs_no_standard_error() -> None:
    with Terminal(command=("sh", "-c", 'exec "$0" "$@" 2>&-', *SCRIPTED)) as terminal:
        terminal.until("for commands")
        terminal.type("\x11")
        assert terminal.end() == 0
