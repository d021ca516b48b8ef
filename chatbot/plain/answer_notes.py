"""What is said beside an answer: its sources, why it ended, what the model does not heed.

Sources go to standard output, below the answer that they belong to; all else to standard error.
Knows nothing of how the answer itself is printed.
"""

import sys
from collections.abc import Sequence

from chatbot.conversation.citations import (
    NO_SOURCE,
    is_without_source,
    source_lines,
    unsupported_sentences,
)
from chatbot.conversation.manager import ConversationManager
from chatbot.conversation.source_block import sources_of
from chatbot.conversation.thinking import thinking_problem
from chatbot.messages import Message
from chatbot.wording import counted


def print_sources(answer: Message) -> None:
    """Print the list of sources under an answer, and beside it what none of them supports, or that
    none was used."""
    found = sources_of(answer)
    if found is None:
        return
    if is_without_source(found):
        print(f"[{NO_SOURCE}]", file=sys.stderr, flush=True)
    if not found.sources:
        return
    print("", *source_lines(found), sep="\n", flush=True)
    for sentence in unsupported_sentences(answer.text, found):
        print(f"[in no source: {sentence}]", file=sys.stderr, flush=True)


def left_out_line(ids: Sequence[str]) -> str:
    """That the model was not given these messages."""
    verb = "is" if len(ids) == 1 else "are"
    return f"[{counted(len(ids), 'earlier message')} {verb} left out of the prompt]"


def tell_thinking(manager: ConversationManager) -> None:
    """Say on standard error where the model does not heed what is set about thinking."""
    info = manager.engine.status.info
    if info and (problem := thinking_problem(manager.settings, info)):
        print(f"[{problem}]", file=sys.stderr, flush=True)


def why_ended(reason: str) -> str:
    """A reason other than that the model was done, in words."""
    reasons = {"cancelled": "stopped", "length": "the longest answer or the window's end"}
    return reasons.get(reason, reason)
