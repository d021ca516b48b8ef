"""Grammars over tokens, by llguidance: which tokens may come next.

Knows the tokenizer; nothing of dialects, sampling or the model.
"""

import re
from collections.abc import Collection
from typing import Any

import llguidance.hf
import llguidance.numpy
import numpy as np
from llguidance import LLMatcher, LLTokenizer
from numpy.typing import NDArray

from chatbot.errors import ModelError
from chatbot.models.library_errors import first_sentence


class Matcher:
    """One text on its way through a grammar."""

    def __init__(self, matcher: LLMatcher, tokenizer: LLTokenizer) -> None:
        self._matcher = matcher
        self._tokenizer = tokenizer
        self._mask = llguidance.numpy.allocate_token_bitmask(1, tokenizer.vocab_size)

    @property
    def is_complete(self) -> bool:
        """Whether the text is whole and nothing can follow."""
        return self._matcher.is_stopped() and not self._matcher.is_error()

    def allowed(self, size: int) -> NDArray[np.bool_]:
        """The tokens that may be next, of the first ``size``: bool [size].

        Raises:
            ModelError: the grammar is too complicated to go on.
        """
        llguidance.numpy.fill_next_token_bitmask(self._matcher, self._mask)
        bits = np.unpackbits(self._mask.view(np.uint8)[0], bitorder="little").view(np.bool_)
        allowed = np.zeros(size, dtype=np.bool_)
        allowed[: bits.shape[0]] = bits[:size]
        if self._matcher.is_error() or not allowed.any():
            raise self._failure()
        return allowed

    def take(self, token: int) -> None:
        """Go on by a token that is allowed.

        Raises:
            ModelError: it is not.
        """
        if not self._matcher.consume_token(token):
            raise self._failure()

    def splits(self, token: int) -> bool:
        """Whether an allowed token is the mere beginning of one that is allowed, too, because
        the grammar leaves no other way on: a blank, say, before a bracket that must follow it.

        No model was trained on text that is cut so. What it writes after such a half is noise:
        a small one draws the lone blank because it has a number in mind, where only a string
        may stand.
        """
        trial = self._matcher.deep_copy()
        if not trial.consume_token(token):
            return False
        forced = trial.compute_ff_bytes()
        if not forced:
            return False
        begun = self._tokenizer.decode_bytes([token])
        whole = self._tokenizer.tokenize_bytes(begun + forced)[0]
        is_longer = len(self._tokenizer.decode_bytes([whole])) > len(begun)
        return is_longer and bool(self._mask[0, whole // 32] >> (whole % 32) & 1)

    def take_text(self, text: str) -> bool:
        """Go on by text, however it is cut into tokens; returns whether it is allowed."""
        tokens = self._tokenizer.tokenize_str(text)
        return self._matcher.try_consume_tokens(tokens) == len(tokens)

    def _failure(self) -> ModelError:
        reason = first_sentence(ValueError(self._matcher.get_error() or "no token is allowed"))
        return ModelError(
            f"The answer could not be held to its schema ({reason}); simplify the schema."
        )


class Grammars:
    """Makes matchers for one tokenizer. Made when first used: it takes half a second."""

    def __init__(
        self, tokenizer: Any, num_tokens: int, end_tokens: Collection[int], name: str
    ) -> None:
        """Take the tokenizer's tokens.

        Args:
            tokenizer: one of transformers.
            num_tokens: how many tokens the model's output has, which may be more.
            end_tokens: what may end an answer whose grammar is satisfied.
            name: the model's, for errors.

        Raises:
            ModelError: the tokenizer is not of a kind that grammars can be held to.
        """
        try:
            self._tokenizer = llguidance.hf.from_tokenizer(
                tokenizer, n_vocab=max(num_tokens, len(tokenizer)), eos_token=sorted(end_tokens)
            )
        except Exception as error:
            raise ModelError(
                f"The tokenizer of {name} cannot be held to a grammar; switch the mask of tool "
                "calls off, and ask without a schema."
            ) from error
        self._specials = {
            str(token): number
            for number, token in tokenizer.added_tokens_decoder.items()
            if token.special
        }
        self._made: dict[str, LLMatcher] = {}

    def literal(self, text: str) -> str:
        """``text`` as a grammar names it: special tokens by their number."""
        if text in self._specials:
            return f"<[{self._specials[text]}]>"
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'

    def problem(self, grammar: str) -> str:
        """What is wrong with a grammar, in a few words; empty when nothing is."""
        is_error, messages = LLMatcher.validate_grammar_with_warnings(grammar, self._tokenizer)
        if not is_error:
            return ""
        text = re.sub(r"^at \d+\(\d+\): ", "", messages[0].split("\n")[0])
        return text.removeprefix("failed to compile JSON schema: ").strip(" .")

    def matcher(self, grammar: str) -> Matcher:
        """A matcher at the start of ``grammar``, which has no problem."""
        if grammar not in self._made:
            if len(self._made) > 32:
                self._made.clear()
            self._made[grammar] = LLMatcher(self._tokenizer, grammar, log_level=0)
        return Matcher(self._made[grammar].deep_copy(), self._tokenizer)
