"""Text out of tokens as they come, never with half a character in it.

A character may be spread over several tokens, and whether a token starts with a space can
depend on the one before it; so each piece is decoded together with the piece before it.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Final

REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
"""Decoders put it where bytes are no character, or not one yet."""


class Detokenizer:
    """Turns one answer's tokens into text."""

    def __init__(
        self,
        decode: Callable[[Sequence[int]], str],
        special_ids: Collection[int] = (),
        decode_end: Callable[[Sequence[int]], str] | None = None,
    ) -> None:
        """Start an answer.

        Args:
            decode: the text of token ids, without cleaning up of spaces.
            special_ids: tokens that have no text of their own.
            decode_end: the same for tokens after which no more come; ``decode`` if it is None.
        """
        self._decode = decode
        self._decode_end = decode_end or decode
        self._special_ids = special_ids
        self._window: list[int] = []
        """The last piece's tokens, then those whose text is not complete."""
        self._num_context = 0
        """How many at the window's start belong to the last piece."""
        self._num_sent = 0
        """How many characters of the window's text have been returned."""

    def peek(self, token: int) -> str:
        """The text that would be complete with ``token``, which is not taken."""
        if token in self._special_ids:
            return ""
        return self._decode([*self._window, token]).rstrip(REPLACEMENT)[self._num_sent :]

    def push(self, token: int) -> str:
        """Take the next token; returns the text that is complete by now, perhaps none."""
        if token in self._special_ids:
            return ""
        self._window.append(token)
        text = self._decode(self._window)
        complete = text.rstrip(REPLACEMENT)
        piece = complete[self._num_sent :]
        if len(complete) < len(text):  # perhaps an unfinished character: keep its tokens
            self._num_sent += len(piece)
        elif piece:
            del self._window[: self._num_context]
            self._num_context = len(self._window)
            self._num_sent = len(self._decode(self._window))
        return piece

    def flush(self) -> str:
        """The answer is over; returns the text that was held back, without half a character."""
        piece = self._decode_end(self._window).rstrip(REPLACEMENT)[self._num_sent :]
        self._num_sent += len(piece)
        return piece
