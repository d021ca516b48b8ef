"""How many tokens any stretch of a text has, without tokenising the text as a whole.

A tokenizer takes a text apart at white space first, so a stretch has as many tokens as its words
together; and a text has few different words. Counting each of them once is ten times faster than
tokenising the text. Where a word cannot be counted so, its count is an upper bound.
"""

import re
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from chatbot.retrieval.words import UNSPACED

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_PART: Final = re.compile(rf"[{UNSPACED}]|(?:(?![{UNSPACED}])[^\W_])+|[\W_]")
_MAX_WORD: Final = 32
"""Characters of a word that is counted whole; of a longer one, the parts are."""
_MAX_PART: Final = 16
"""Characters of a part; what is longer (a key, a picture in letters) is cut into slices."""
_SLICE: Final = "\0"
"""In front of a slice, to tell it from a word."""
_WIDE_GAP: Final = 64
"""Characters of white space from which on it counts as text, so that no passage is all gap."""
_CHARACTERS_PER_GAP_TOKEN: Final = 8
_MAX_CACHED: Final = 500_000
_WHITE_SPACE: Final = np.array(
    [code for code in range(0x3001) if chr(code).isspace()], dtype=np.uint32
)
"""What ``str.split`` splits at; there is none further up."""


class TokenCounter:
    """Counts tokens as one tokenizer would make them."""

    def __init__(self, tokenizer: "Tokenizer") -> None:
        self._tokenizer = tokenizer
        self._counts: dict[str, int] = {}
        sample = "two words"
        # Byte-level tokenizers see a word and the space before it as one.
        with_space = self._count(" words") == self._count(sample) - self._count("two")
        self._prefix = " " if with_space and self._count("words") != self._count(" words") else ""
        self._counts_white_space = self._count("a\n\n   b") > self._count("a b")
        self.num_special = tokenizer.num_special_tokens_to_add(False)

    def count(self, text: str) -> int:
        """Tokens of a short text, without special ones."""
        return self._count(text)

    def index(self, text: str) -> "TokenIndex":
        """Count all words of ``text``."""
        starts, lengths = _find_words(text)
        words = text.split()
        if (long := np.flatnonzero(lengths > _MAX_WORD)).size:
            starts, words = self._split_long(starts, words, long)
            lengths = np.fromiter(map(len, words), np.int64, len(words))
        self._learn(words)
        counts = np.fromiter(map(self._counts.__getitem__, words), np.int64, len(words))
        counts[1:] += self._count_gaps(starts[1:] - starts[:-1] - lengths[:-1])
        return TokenIndex(starts, counts)

    def _split_long(
        self, starts: NDArray[np.int64], words: list[str], long: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], list[str]]:
        """The same words, but those of the indices ``long`` in parts."""
        all_starts: list[int] = []
        all_words: list[str] = []
        last = 0
        for index in long.tolist():
            all_starts += starts[last:index].tolist()
            all_words += words[last:index]
            for found in _PART.finditer(words[index]):
                part, start = found.group(), int(starts[index]) + found.start()
                mark = _SLICE if len(part) > _MAX_PART else ""
                for offset in range(0, len(part), _MAX_PART):
                    all_starts.append(start + offset)
                    all_words.append(mark + part[offset : offset + _MAX_PART])
            last = index + 1
        all_starts += starts[last:].tolist()
        all_words += words[last:]
        return np.array(all_starts, np.int64), all_words

    def _learn(self, words: list[str]) -> None:
        """Count the words that were not met before."""
        if len(self._counts) > _MAX_CACHED:
            self._counts.clear()
        new = [word for word in dict.fromkeys(words) if word not in self._counts]
        encoded = self._tokenizer.encode_batch_fast(
            [self._prefix + word for word in new], add_special_tokens=False
        )
        for word, encoding in zip(new, encoded, strict=True):
            # A slice has neighbours that it may be one word with: only its size bounds that.
            is_slice = word.startswith(_SLICE)
            self._counts[word] = len(word.encode()) if is_slice else max(len(encoding), 1)

    def _count_gaps(self, gaps: NDArray[np.int64]) -> NDArray[np.int64]:
        """Tokens of white space of so many characters."""
        if self._counts_white_space:
            return np.maximum(gaps - 1, 0)
        return np.where(gaps >= _WIDE_GAP, gaps // _CHARACTERS_PER_GAP_TOKEN, 0)

    def _count(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False))


class TokenIndex:
    """The words of one text: where each begins, and how many tokens come before it."""

    def __init__(self, starts: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        self.starts = starts
        """int64 [number of words]: offsets at which a text can be cut at the very least."""
        self._sums = np.concatenate(([0], np.cumsum(counts)))

    def before(self, offsets: list[int]) -> NDArray[np.int64]:
        """Tokens of the text before each offset, int64. An offset is a word's start or in a gap."""
        indices: NDArray[np.int64] = self._sums[np.searchsorted(self.starts, offsets)]
        return indices

    def between(self, start: int, end: int) -> int:
        """Tokens of ``text[start:end]``."""
        first, last = self.before([start, end])
        return int(last - first)

    def words_between(self, start: int, end: int) -> list[int]:
        """Starts of the words in ``text[start:end]``, but for one that begins it."""
        first, last = np.searchsorted(self.starts, [start, end])
        return [offset for offset in self.starts[first:last].tolist() if offset > start]


def _find_words(text: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Start and length of what ``text.split()`` gives, both int64."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    table = np.zeros(0x3002, dtype=np.bool_)
    table[_WHITE_SPACE] = True
    is_space = np.concatenate(([True], table[np.minimum(codes, 0x3001)], [True]))
    edges = np.flatnonzero(is_space[1:] != is_space[:-1])
    starts, ends = edges[0::2], edges[1::2]
    return starts.astype(np.int64), (ends - starts).astype(np.int64)
