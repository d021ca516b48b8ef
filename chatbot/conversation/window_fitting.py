"""Fitting a conversation into the context window: which exchanges the model is given.

Pure arithmetic on exact token counts, so that the same history always gives the same
prompt. Knows neither the engine nor where messages are kept.
"""

from collections.abc import Collection, Sequence
from typing import Final

from chatbot.errors import ContextError

KEEP_AFTER_CUT: Final = 0.75
"""Once the window overflows, exchanges are left out until no more than this share of it is
in use. Leaving out only what must go would move the start of the prompt at every turn, and
with it throw away the whole cached prefix every time."""

MIN_ROOM: Final = 16
"""Tokens that must be left for an answer to be worth starting."""


def fit_window(
    exchange_tokens: Sequence[tuple[int, int]],
    fixed_tokens: int,
    question_tokens: int,
    *,
    context_length: int,
    max_new_tokens: int,
    max_history: int = 0,
    pinned: Collection[int] = (),
    can_be_longer: bool = True,
    has_files: bool = False,
) -> int:
    """Choose which of the earlier exchanges go into the prompt: the newest that fit.

    Args:
        exchange_tokens: sizes of question and answer of each earlier exchange, oldest first.
        fixed_tokens: size of what is always there: system message and template.
        question_tokens: size of the new question.
        context_length: size of the window.
        max_new_tokens: longest answer; a quarter of the window at most is kept free for it.
        max_history: most earlier exchanges, 0 for as many as fit.
        pinned: indices of the exchanges that stay whatever happens.
        can_be_longer: the model was made for a longer window than this.
        has_files: some of the question are files that are attached to it.

    Returns:
        Index of the first exchange that the model is given; those that are pinned are, besides.

    Raises:
        ContextError: the question does not fit even alone, or not with what is pinned.
    """
    longer = ", or raise context_length" if can_be_longer else ""
    pinned_tokens = sum(sum(exchange_tokens[index]) for index in pinned)
    always = fixed_tokens + pinned_tokens + question_tokens
    if pinned_tokens and always + MIN_ROOM > context_length:
        raise ContextError(
            f"With the pinned messages the prompt takes {always:,} tokens, and the window has "
            f"{context_length:,}; unpin a message (p){longer}."
        )
    if always + MIN_ROOM > context_length:
        what = "the system prompt and its files" if has_files else "the system prompt"
        shorter = (
            "attach less, or have the folder searched: /knowledge add"
            if has_files
            else "shorten it"
        )
        raise ContextError(
            f"The question does not fit: with {what} it takes {always:,} tokens, and "
            f"the window has {context_length:,}; {shorter}{longer}."
        )
    budget = context_length - min(max_new_tokens, context_length // 4)
    budget -= fixed_tokens + pinned_tokens
    free = [(0, 0) if i in pinned else sizes for i, sizes in enumerate(exchange_tokens)]
    # The history is gone through as it grew, each question fitted before its answer was there,
    # so that the cut stays where it was until the window overflows again.
    cut, kept = 0, 0
    for index, (question, answer) in enumerate([*free, (question_tokens, 0)]):
        kept += question
        if kept > budget:
            while cut < index and kept > budget * KEEP_AFTER_CUT:
                kept -= sum(free[cut])
                cut += 1
        kept += answer
    if max_history:
        cut = max(cut, len(exchange_tokens) - max_history)
    return cut
