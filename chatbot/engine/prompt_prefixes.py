"""The prompts of a conversation up to each of its messages, without keeping each one whole.

Nearly always such a prompt is the one before it and some more. So of each there is kept how much
it has in common with the one before, and what follows that: as much text as the chat has, where
the prompts themselves would take the square of it. Knows no template.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from chatbot.engine.common_start import common_length
from chatbot.engine.protocol.messages import ChatMessage


@dataclass(frozen=True, slots=True)
class _Prefix:
    """The prompt up to and with one message."""

    message: ChatMessage
    num_kept: int
    """Characters at its start that it has in common with the last one that is not refused."""
    tail: str | None
    """What follows them; None where the template refuses so short a conversation."""


class PromptPrefixes:
    """The prompt after each message of a conversation."""

    def __init__(self) -> None:
        """Begin with no messages."""
        self._prefixes: list[_Prefix] = []
        self._last = ""
        """The last prompt that is not refused, whole."""

    def __len__(self) -> int:
        return len(self._prefixes)

    @property
    def last(self) -> str | None:
        """The last prompt, whole; None where it is refused, or where there is none."""
        return self._last if self._prefixes and self._prefixes[-1].tail is not None else None

    def num_same(self, messages: Sequence[ChatMessage]) -> int:
        """With how many of the messages ``messages`` begins just so."""
        num_same = 0
        for prefix, message in zip(self._prefixes, messages, strict=False):
            if prefix.message != message:
                break
            num_same += 1
        return num_same

    def first(self, num_messages: int) -> "PromptPrefixes":
        """Those of so many messages, to which others can be added."""
        other = PromptPrefixes()
        other._prefixes = self._prefixes[:num_messages]
        other._last = self._last if num_messages == len(self) else _join(other._prefixes)
        return other

    def add(self, message: ChatMessage, text: str | None) -> None:
        """Add the prompt after one more message; None where the template refuses it."""
        if text is None:
            self._prefixes.append(_Prefix(message, 0, None))
            return
        num_kept = common_length(self._last, text)
        self._prefixes.append(_Prefix(message, num_kept, text[num_kept:]))
        self._last = text

    def lengths_in(self, text: str) -> list[int | None]:
        """How many characters of each prompt ``text`` begins with; None where there is none."""
        lengths: list[int | None] = []
        length = 0
        for prefix in self._prefixes:
            if prefix.tail is None:
                lengths.append(None)
                continue
            # Where less than what is kept was the same, it ends for this prompt as well there.
            if prefix.num_kept <= length:
                length = prefix.num_kept + common_length(prefix.tail, text, prefix.num_kept)
            lengths.append(length)
        return lengths


def _join(prefixes: Sequence[_Prefix]) -> str:
    """The last prompt, put together from its end so that each character is copied once."""
    pieces: list[str] = []
    end: int | None = None
    for prefix in reversed(prefixes):
        if prefix.tail is None:
            continue
        if end is None:
            pieces.append(prefix.tail)
        elif prefix.num_kept < end:
            pieces.append(prefix.tail[: end - prefix.num_kept])
        else:
            continue
        end = prefix.num_kept
        if not end:
            break
    return "".join(reversed(pieces))
