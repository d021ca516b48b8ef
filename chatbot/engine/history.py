"""What stands in the context so far, kept in the forms that the sampling rules ask for."""

from collections.abc import Iterable

import torch
from torch import Tensor


class TokenHistory:
    """The prompt's and the answer's token ids."""

    def __init__(self, tokens: Iterable[int]) -> None:
        self._tokens = list(tokens)
        self._distinct = dict.fromkeys(self._tokens)
        self._seen: Tensor | None = None
        self._ngram_size = 0
        self._followers: dict[tuple[int, ...], set[int]] = {}

    def __len__(self) -> int:
        """How many tokens there are."""
        return len(self._tokens)

    def append(self, token: int) -> None:
        """Take note of one more token."""
        self._tokens.append(token)
        if token not in self._distinct:
            self._distinct[token] = None
            self._seen = None
        if self._ngram_size:
            self._note_ngram(len(self._tokens))

    def since(self, start: int) -> list[int]:
        """The tokens after the first ``start``."""
        return self._tokens[start:]

    def seen(self, scores: Tensor) -> Tensor:
        """The distinct ids that ``scores`` [vocab] has a place for: int64 [n], same device.

        Ids beyond it exist where a model has more input than output tokens.
        """
        if self._seen is None:
            ids = [token for token in self._distinct if token < scores.shape[0]]
            self._seen = torch.tensor(ids, dtype=torch.int64, device=scores.device)
        return self._seen

    def would_repeat(self, size: int) -> list[int]:
        """The tokens that would complete a run of ``size`` tokens that occurred before."""
        if size != self._ngram_size:
            self._ngram_size = size
            self._followers = {}
            for end in range(size, len(self._tokens) + 1):
                self._note_ngram(end)
        if len(self._tokens) + 1 < size:
            return []
        prefix = tuple(self._tokens[len(self._tokens) - size + 1 :])
        return sorted(self._followers.get(prefix, ()))

    def _note_ngram(self, end: int) -> None:
        """Note the run that ends before position ``end``."""
        start = end - self._ngram_size
        if start >= 0:
            prefix = tuple(self._tokens[start : end - 1])
            self._followers.setdefault(prefix, set()).add(self._tokens[end - 1])
