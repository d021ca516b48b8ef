"""The prompts up to each message of a long conversation, told from windows of it.

Rendered whole, they take the square of the conversation's length. But nearly every template writes
a message the same way whatever stands far ahead of it: so what a message adds to the prompt is told
from its window, which is how the conversation begins, and the last two questions and what follows
them. Some of the prompts that come of it are compared with whole ones. Knows no template.
"""

from collections.abc import Callable, Sequence
from typing import Final

from chatbot.engine.common_start import common_length
from chatbot.engine.prompt_prefixes import PromptPrefixes
from chatbot.engine.protocol.messages import ChatMessage

FEWEST: Final = 32
"""Messages from which on windows are worth their checks."""
NUM_CHECKS: Final = 8
"""Prompts that are rendered whole besides those at the end, at equal distances."""

Render = Callable[[Sequence[ChatMessage]], str | None]
"""The prompt of a conversation that does not ask for an answer; None where it is refused."""


def added_by_windows(
    prefixes: PromptPrefixes, messages: Sequence[ChatMessage], render: Render
) -> PromptPrefixes | None:
    """The prompts after each of the messages.

    Args:
        prefixes: those after the first ones; stays as it is.
        messages: the whole conversation.
        render: see ``Render``.

    Returns:
        None where few are missing, or where a prompt cannot be told from a window.
    """
    first, size = len(prefixes), len(messages)
    if size - first < FEWEST:
        return None
    starts = _window_starts(messages)
    # A template may look at how a conversation ends: with a question, or with an answer.
    ends = (starts[-1], size - 2, size - 1)
    checked = {*range(first, size, (size - first) // NUM_CHECKS), *ends}
    opening = messages[: starts[0]]
    whole = prefixes.first(first)
    window_start, shorter = -1, None
    for index in range(first, size):
        start = starts[index]
        if start <= len(opening):
            whole.add(messages[index], render(messages[: index + 1]))
            continue
        if start != window_start:
            window_start, shorter = start, render([*opening, *messages[start:index]])
        longer = render([*opening, *messages[start : index + 1]])
        before = whole.last
        if before is None or shorter is None or longer is None:
            return None
        num_same = common_length(shorter, longer)
        text = before[: len(before) - len(shorter) + num_same] + longer[num_same:]
        if index in checked and text != render(messages[: index + 1]):
            return None
        whole.add(messages[index], text)
        shorter = longer
    return whole


def _window_starts(messages: Sequence[ChatMessage]) -> list[int]:
    """For each message the question ahead of the last one; the first one where there is none."""
    questions = [index for index, message in enumerate(messages) if message.role == "user"]
    last = before = questions[0] if questions else len(messages)
    starts = []
    for index, message in enumerate(messages):
        if message.role == "user":
            before, last = last, index
        starts.append(before)
    return starts
