"""Cleaning of untrusted text for the terminal: the one place where it is done.

Model output, documents, tool results, file names, imports and paste all pass through here
at the point where they enter the program; nothing further in has to think about it. What
remains is printable text, newlines and tabs: no byte of it can move the cursor, set the
clipboard, change colours, or make text read in another order than it is stored.

Whole escape sequences are taken out. A sequence that never ends, or runs on for longer
than any real one, loses only its control characters, so that no ordinary text can vanish
behind a lone escape. Knows nothing of where text comes from or goes to.
"""

import re
from typing import Final

MAX_SEQUENCE_LENGTH: Final = 4096
"""Characters after which an unfinished escape sequence is taken for ordinary text."""

_BIDI: Final = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_INVISIBLE: Final = "\u2028\u2029\ufff9-\ufffb\U000e0000-\U000e007f"
"""Line separators that terminals treat each in its own way, interlinear annotation, and the
tag block, in which text can be hidden from the eye but not from the model."""

_UNSAFE: Final = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff{_BIDI}{_INVISIBLE}]")

_LINE_ENDS: Final = "\x0b\x0c\x85\u2028\u2029"
"""Characters that end a line somewhere, and become a newline here."""

_C1_TO_ESCAPE: Final = {chr(0x80 + i): chr(0x40 + i) for i in range(32)}
"""Each one-character C1 control, and the letter that means the same after an escape."""

_STRING_STARTS: Final = "PX]^_"
"""Letters after an escape that open a string: DCS, SOS, OSC, PM, APC."""

# What each kind of sequence cannot hold, and hence what ends it. Nothing that one of these
# passes over can open another sequence: this is what keeps the cleaning linear.
_AFTER_CSI: Final = re.compile("[^ -?]")
_AFTER_INTERMEDIATE: Final = re.compile("[^ -/]")
_AFTER_STRING: Final = re.compile("[\x07\n\x18\x1a\x1b\x80-\x9f]")

_UNFINISHED: Final = -1


class Cleaner:
    """Cleans a stream of text piece by piece; sequences may be split anywhere."""

    def __init__(self) -> None:
        self.num_removed = 0
        """Control sequences and lone control characters taken out so far."""
        self._held = ""
        """The start of an escape sequence, or a carriage return, whose end is not here yet."""
        self._num_searched = 0
        """How much of ``_held`` is known not to hold the end of its sequence."""

    def feed(self, text: str) -> str:
        """The part of ``text``, and of what was held back, that is safe to show now."""
        text = self._held + text
        searched, self._held, self._num_searched = self._num_searched, "", 0
        shown: list[str] = []
        position = 0
        while found := _UNSAFE.search(text, position):
            shown.append(text[position : found.start()])
            position = self._pass_control(text, found.start(), searched, shown)
            searched = 0
            if position == _UNFINISHED:
                self._held = text[found.start() :]
                # The last character may be half of an end; it is looked at again.
                self._num_searched = len(self._held) - 1
                return "".join(shown)
        shown.append(text[position:])
        return "".join(shown)

    def flush(self) -> str:
        """What was held back, now that nothing follows it."""
        shown: list[str] = []
        while held := self._held:
            self._held = ""
            if held == "\r":
                shown.append("\n")
                continue
            self.num_removed += 1
            self._num_searched = 0
            shown.append(self.feed(held[1:]))
        return "".join(shown)

    def _pass_control(self, text: str, start: int, searched: int, shown: list[str]) -> int:
        """Deal with the unsafe character at ``start``.

        Args:
            searched: how many characters from ``start`` on were searched for an end before.

        Returns:
            Where to go on, or ``_UNFINISHED`` when the rest of ``text`` may be a sequence
            whose end is still to come.
        """
        character = text[start]
        if character == "\r":
            if start + 1 == len(text):
                return _UNFINISHED
            # A lone carriage return would overwrite the line; CR LF is one line end.
            if text[start + 1] != "\n":
                shown.append("\n")
            return start + 1
        if character == "\x1b":
            if start + 1 == len(text):
                return _UNFINISHED
            end = _end_of_sequence(text, start, text[start + 1], start + 2, searched)
        elif character in _LINE_ENDS:
            shown.append("\n")
            end = start + 1
        elif character in _C1_TO_ESCAPE:
            end = _end_of_sequence(text, start, _C1_TO_ESCAPE[character], start + 1, searched)
        else:
            if "\ud800" <= character <= "\udfff":
                shown.append("\ufffd")
            end = start + 1
        self.num_removed += end != _UNFINISHED
        return end


def _end_of_sequence(text: str, start: int, kind: str, body: int, searched: int) -> int:
    """Index after the sequence of this ``kind`` whose body starts at ``body``.

    One that is too long ends after its first character, so that the rest stays visible.
    """
    if kind == "[":
        after = _AFTER_CSI
    elif kind in _STRING_STARTS:
        after = _AFTER_STRING
    elif " " <= kind <= "/":
        after = _AFTER_INTERMEDIATE
    else:
        # Two characters, or an escape that opens nothing, of which only the escape goes.
        return body if "0" <= kind <= "~" else start + 1
    limit = start + MAX_SEQUENCE_LENGTH
    found = after.search(text, max(body, start + searched), limit)
    if found is None:
        return start + 1 if len(text) >= limit else _UNFINISHED
    index, last = found.start(), found.group()
    if after is _AFTER_STRING:
        return _end_of_string(text, index, last)
    is_final = "@" <= last <= "~" if after is _AFTER_CSI else "0" <= last <= "~"
    return index + 1 if is_final else index


def _end_of_string(text: str, index: int, last: str) -> int:
    """Index after a control string (OSC and its kin) that ``last`` ends: BEL or ST.

    Any other control breaks it off without being part of it. So does a newline: no real
    string holds one, and what stands on the next line must stay visible.
    """
    if last in "\x07\x9c":
        return index + 1
    if last != "\x1b":
        return index
    if index + 1 == len(text):
        return _UNFINISHED
    return index + 2 if text[index + 1] == "\\" else index


def clean(text: str) -> str:
    """A whole text, cleaned; lines and tabs stay."""
    cleaner = Cleaner()
    return cleaner.feed(text) + cleaner.flush()


def clean_line(text: str, max_length: int = 200) -> str:
    """A text for one line (a title, a file name, an error): cleaned, white space folded."""
    line = " ".join(clean(text).split())
    return line if len(line) <= max_length else line[: max_length - 1] + "…"


def is_safe(text: str) -> bool:
    """Whether ``text`` holds nothing that cleaning would change."""
    return _UNSAFE.search(text) is None
