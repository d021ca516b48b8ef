"""Messages to tokens, and how many of them each message takes.

Knows the tokenizer and the template, not the model.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import msgspec

from chatbot.engine.chat_template import PLAIN_STOPS, ChatTemplate
from chatbot.engine.protocol import ChatMessage
from chatbot.engine.special_tokens import SpecialTokenGuard


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """A rendered conversation."""

    text: str
    """Special tokens spelled out."""
    tokens: list[int]


class PromptBuilder:
    """Renders and tokenises conversations for one model."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._template = ChatTemplate(tokenizer)
        self._guard = SpecialTokenGuard(tokenizer, self._template.source)
        self._start = _plain_start(tokenizer) if self._template.is_plain else []

    @property
    def stops(self) -> tuple[str, ...]:
        """Strings before which an answer ends, whatever the client asks for."""
        return PLAIN_STOPS if self._template.is_plain else ()

    @property
    def strips_answer_start(self) -> bool:
        """Whether an answer starts with a space that belongs to the form, not to the answer."""
        return self._template.is_plain

    def build(self, messages: Sequence[ChatMessage], *, continue_last: bool = False) -> Prompt:
        """The prompt that asks for the next answer.

        Args:
            messages: the conversation.
            continue_last: the last message is the beginning of the answer.

        Raises:
            ModelError: the template refuses these messages, is broken, or takes too long.
        """
        text = self._render(self._protected(messages), continue_last)
        tokens, _ = self._tokenise(text)
        return Prompt(text=self._guard.restore(text), tokens=tokens)

    def count(
        self, messages: Sequence[ChatMessage], *, continue_last: bool = False
    ) -> tuple[tuple[int, ...], int]:
        """The sizes of the messages, and of what comes after the last one, in tokens.

        Together they are the length of ``build(messages).tokens``. A token belongs to the
        message that its first character belongs to; what a template puts before the first
        message belongs to that, and what opens an answer to the answer that is continued.

        Raises:
            ModelError: as ``build`` does.
        """
        protected = self._protected(messages)
        text = self._render(protected, continue_last)
        _, starts = self._tokenise(text)
        sizes: list[int] = []
        done = 0
        for prefix in self._template.render_prefixes(protected[: -1 if continue_last else None]):
            # A message that the template shows only later counts with the next one.
            end = done if prefix is None else bisect_left(starts, _common_length(prefix, text))
            end = max(done, end)
            sizes.append(end - done)
            done = end
        if continue_last:
            return (*sizes, len(starts) - done), 0
        return tuple(sizes), len(starts) - done

    def _render(self, protected: Sequence[ChatMessage], continue_last: bool) -> str:
        if not continue_last:
            return self._template.render(protected)
        *before, begun = protected
        gap = " " if self._template.is_plain else ""
        return self._template.render(before) + gap + begun.content

    def _protected(self, messages: Sequence[ChatMessage]) -> list[ChatMessage]:
        return [
            ChatMessage(message.role, self._guard.protect(message.content, message.role))
            for message in messages
        ]

    def _tokenise(self, text: str) -> tuple[list[int], list[int]]:
        """The tokens of rendered text, and where in it each of them starts."""
        tokens = list(self._start)
        starts = [-1] * len(tokens)
        for position, piece in self._guard.pieces(text):
            ids, offsets = self._encode(piece)
            tokens.extend(ids)
            # What stands for a marker starts, all of it, where the marker does.
            is_original = text.startswith(piece, position)
            starts.extend(position + (offset if is_original else 0) for offset in offsets)
        return tokens, starts

    def _encode(self, text: str) -> tuple[list[int], list[int]]:
        """Token ids, and the first character of each."""
        if self._tokenizer.is_fast:
            encoding = self._tokenizer(
                text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
            )
            return encoding["input_ids"], [start for start, _ in encoding["offset_mapping"]]
        ids = self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        # Without offsets: as if all tokens were of the same length.
        return ids, [index * len(text) // len(ids) for index in range(len(ids))]


def _plain_start(tokenizer: Any) -> list[int]:
    """The token that the model expects ahead of any text, where there is one."""
    start: list[int] = tokenizer("", verbose=False)["input_ids"]
    return start if start == [tokenizer.bos_token_id] else []


def _common_length(first: str, second: str) -> int:
    """Length of the longest common start, by bisection: nearly always it is all of one."""
    low, high = 0, min(len(first), len(second))
    if second.startswith(first):
        return len(first)
    while low < high:
        middle = (low + high + 1) // 2
        if first[:middle] == second[:middle]:
            low = middle
        else:
            high = middle - 1
    return low
