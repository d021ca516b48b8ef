"""How an answer that is over comes into the tree, or does not.

One that was stopped before its first token is no variant of others: it would hide them, and with
it the question would be left out of the next prompt. Knows neither the engine nor the disk.
"""

from chatbot.conversation.tree import Conversation
from chatbot.messages import Message, SourcesPart, TextPart


def is_empty(answer: Message) -> bool:
    """Whether an answer was stopped before there was anything of it."""
    is_stopped = answer.making is not None and answer.making.finish_reason == "cancelled"
    return is_stopped and not any(
        part.text if isinstance(part, TextPart) else not isinstance(part, SourcesPart)
        for part in answer.parts
    )


def keep_answer(conversation: Conversation, answer: Message) -> None:
    """Put an answer below its question. An empty one stands there only where it is the first, for
    the question to have its line; the next one takes its place."""
    question_id = answer.parent_id or ""
    if is_empty(answer) and conversation.has_answer(question_id):
        conversation.give_up(answer.id, question_id)
        return
    conversation.add(answer)
    for other in conversation.variants(answer.id):
        if other != answer.id and is_empty(conversation[other]):
            conversation.delete(other)
