"""What comes from the keyboard, and from pastes, whatever bytes it is made of."""

import codecs
import re
import sys
from typing import Any, Final

from textual.driver import Driver

_PASTE: Final = "\x1b[200~"
_PASTE_END: Final = "\x1b[201~"
"""What a terminal puts around a paste, if it was asked to."""

_ESCAPE: Final = "\x1b"

_UNSEEN: Final = re.compile("[\xa0\u2000-\u200d\u202f\u3000]+")
"""Spaces and joiners of many scripts, which Textual takes for no text where they are typed."""


def patient(driver: type[Driver]) -> type[Driver]:
    """``driver``, but it reads by an ``InputDecoder``: Textual's own for Linux and macOS ends the
    program at the first byte that is no UTF-8, as in a paste from a file in another encoding, and
    takes what follows an escape in a paste for keys.

    And it draws on standard output, which is known to be the terminal, where Textual's own draws on
    standard error: that may be led into a file, or be closed.
    """
    if driver.__module__ != "textual.drivers.linux_driver":  # which Windows does not have
        return driver
    from textual.drivers import linux_driver

    class PatientDriver(linux_driver.LinuxDriver):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self._file = sys.__stdout__

        def run_input_thread(self) -> None:
            vars(linux_driver)["getincrementaldecoder"] = lambda _encoding: InputDecoder
            super().run_input_thread()

    return PatientDriver


class InputDecoder(codecs.IncrementalDecoder):
    """Decodes what a terminal sends: bytes that are no UTF-8 become U+FFFD, and escapes in a paste,
    which most terminals leave out by themselves, are left out. A wide space, or another character
    that Textual would drop as a key, comes as a paste of its own.
    """

    def __init__(self, errors: str = "replace") -> None:
        super().__init__(errors)
        self._decode = codecs.getincrementaldecoder("utf-8")(errors).decode
        self._is_pasting = False
        self._before = ""
        """The last characters outside a paste, with which its mark may begin: they are not held
        back, or a press of Esc would come with the next key."""
        self._held = ""
        """The last characters in a paste, with which the mark of its end may begin."""

    def decode(self, data: bytes, final: bool = False) -> str:  # type: ignore[override]
        """The characters of ``data``, without escapes in pastes."""
        text, self._held = self._held + self._decode(data, final), ""
        clean = []
        while text:
            piece, text = self._pasted(text, final) if self._is_pasting else self._typed(text)
            clean.append(piece)
        return "".join(clean)

    def _typed(self, text: str) -> tuple[str, str]:
        """What of ``text`` comes before a paste, with its mark, and what is left."""
        joined = self._before + text
        at = joined.find(_PASTE)
        if at < 0:
            self._before = joined[1 - len(_PASTE) :]
            return _as_text(text), ""
        self._is_pasting = True
        end = at + len(_PASTE) - len(self._before)
        self._before = ""
        return _as_text(text[:end]), text[end:]

    def _pasted(self, text: str, final: bool) -> tuple[str, str]:
        """What of ``text`` is pasted, with the mark of its end, and what is left."""
        pasted, end, left = text.partition(_PASTE_END)
        if end:
            self._is_pasting = False
        elif not final:
            self._held = _beginning(pasted, _PASTE_END)
            pasted = pasted.removesuffix(self._held)
        return pasted.replace(_ESCAPE, "") + end, left


def _as_text(typed: str) -> str:
    """Keys, those among them pasted that would not be taken for text."""
    return _UNSEEN.sub(lambda found: f"{_PASTE}{found.group()}{_PASTE_END}", typed)


def _beginning(text: str, mark: str) -> str:
    """The longest end of ``text`` with which ``mark`` begins, short of all of it."""
    sizes = range(min(len(mark) - 1, len(text)), 0, -1)
    return next((mark[:size] for size in sizes if text.endswith(mark[:size])), "")
