"""Keeps control tokens that somebody *typed* from acting as control tokens.

A user or a document may contain ``<|im_end|>``. Rendered into the prompt as it is, the
tokenizer would make the real end-of-turn token of it, and what follows could pose as the
system. So each such occurrence inside a message is replaced by a marker before rendering,
and after it the markers are tokenised as the original characters, cut in two where the
control token would match. The model sees exactly what was typed, as ordinary text; nothing
is inserted or dropped, everything else is tokenised as usual, and it depends on no
particular tokenizer.
"""

import re
import secrets
from typing import Any, Final

from chatbot.engine.protocol.messages import ChatRole

MIN_MARKUP_LENGTH: Final = 3
"""Shorter added tokens, such as a line break of their own, are text and not markup."""


class SpecialTokenGuard:
    """Finds the control tokens of one tokenizer and template in message text."""

    def __init__(self, tokenizer: Any, template: str) -> None:
        """Collect the tokens.

        Every special token counts, whoever typed it. Other added tokens (``<tool_call>``)
        count where the template gives them a meaning, outside the model's own answers.
        """
        added = tokenizer.added_tokens_decoder.values()
        special = {str(token) for token in added if token.special}
        special.update(tokenizer.all_special_tokens)
        special = {text for text in special if text.strip()}
        markup = {
            str(token)
            for token in added
            if len(str(token).strip()) >= MIN_MARKUP_LENGTH and str(token) in template
        }
        self._anywhere = _any_of(special)
        self._outside_answers = _any_of(special | markup)
        backend = getattr(tokenizer, "backend_tokenizer", None)
        self._normalizer = backend.normalizer if backend is not None else None
        if not any(token.normalized for token in added):
            self._normalizer = None  # no token is looked for in normalised text
        # Unguessable, so that no content can contain a marker.
        nonce = secrets.token_hex(8)
        self._marker = re.compile(f"\ue000{nonce}:(\\d+)\ue001")
        self._marker_format = f"\ue000{nonce}:{{}}\ue001"
        self._originals: list[str] = []
        self._numbers: dict[str, int] = {}

    def protect(self, content: str, role: ChatRole) -> str:
        """``content`` with a marker in place of each control token."""
        pattern = self._anywhere if role == "assistant" else self._outside_answers
        protected = pattern.sub(self._replace, content)
        if self._normalizer is not None:
            normal = self._normalizer.normalize_str(protected)
            if pattern.search(normal):  # a token in disguise, such as with full-width letters
                return pattern.sub(self._replace, normal)
        return protected

    def restore(self, text: str) -> str:
        """``text`` with every marker turned back into what was typed."""
        return self._marker.sub(lambda match: self._originals[int(match[1])], text)

    def typed_in(self, text: str) -> tuple[str, ...]:
        """What was typed in place of each marker in ``text``."""
        return tuple(self._originals[int(number)] for number in self._marker.findall(text))

    def pieces(self, text: str) -> list[tuple[int, str]]:
        """Rendered text in pieces that are to be tokenised one by one.

        Returns:
            Each piece with the position in ``text`` that it comes from. No piece contains a
            control token except those that the template itself wrote.
        """
        found: list[tuple[int, str]] = []
        start = 0
        for match in self._marker.finditer(text):
            if match.start() > start:
                found.append((start, text[start : match.start()]))
            original = self._originals[int(match[1])]
            found.extend((match.start(), piece) for piece in self._cut(original))
            start = match.end()
        if start < len(text):
            found.append((start, text[start:]))
        return found

    def _replace(self, match: "re.Match[str]") -> str:
        original = match[0]
        if original not in self._numbers:
            self._numbers[original] = len(self._originals)
            self._originals.append(original)
        return self._marker_format.format(self._numbers[original])

    def _cut(self, text: str) -> list[str]:
        """``text`` cut until no piece contains a control token any more."""
        match = self._outside_answers.search(text)
        if match is None:
            return [text] if text else []
        if len(match[0]) == 1:  # cannot be cut: leave it out
            return self._cut(text[: match.start()]) + self._cut(text[match.end() :])
        middle = match.start() + 1
        return self._cut(text[:middle]) + self._cut(text[middle:])


def _any_of(texts: set[str]) -> "re.Pattern[str]":
    """Matches any of ``texts``, the longest where several begin; nothing when it is empty."""
    longest_first = sorted(texts, key=lambda text: (-len(text), text))
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
