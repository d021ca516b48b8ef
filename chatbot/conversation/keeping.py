"""How an answer that is over comes into the tree, or does not.

One that was stopped before its first token is no variant of others: it would hide them, and with
it the question would be left out of the next prompt. Knows neither the engine nor the disk.
"""

from collections.abc import Collection, Sequence

from chatbot.conversation.tree import Conversation
from chatbot.messages import Message, SourcesPart, TextPart


def is_empty(answer: Message) -> bool:
    """Whether an answer was stopped before there was anything of it."""
    is_stopped = answer.making is not None and answer.making.finish_reason == "cancelled"
    return is_stopped and not says_something(answer)


def keep_answer(conversation: Conversation, answer: Message) -> None:
    """Put an answer below its question. An empty one stands there only where it is the first, for
    the question to have its line; the next one takes its place."""
    question_id = answer.parent_id or ""
    if is_empty(answer) and conversation.has_answer(question_id):
        conversation.give_up(answer.id, question_id)
        return
    conversation.add(answer)
    give_place(conversation, (answer.id,))


def give_place(conversation: Conversation, new_ids: Sequence[str]) -> None:
    """Take away the empty answers beside new ones."""
    for key in conversation.variants(new_ids[0]):
        if key not in new_ids and _gives_place(conversation, key):
            conversation.delete(key)


def leave_out_unbegun(conversation: Conversation, being_written: Collection[str]) -> None:
    """Show the answers that there were where the program died before the next one had begun.

    Args:
        conversation: as it was on the disk.
        being_written: ids of answers that other programs go on with.
    """
    for message in conversation.messages():
        is_left = message.making is not None and message.making.finish_reason == "interrupted"
        if not is_left or says_something(message) or message.id in being_written:
            continue
        has_others = len(conversation.variants(message.id)) > 1
        if has_others and not conversation.has_answer(message.id):
            conversation.delete(message.id)


def num_that_stay(conversation: Conversation, question_id: str) -> int:
    """How many answers a question has, but for those that give place to the next one."""
    answers = [m.id for m in conversation.messages() if m.parent_id == question_id]
    return sum(not _gives_place(conversation, key) for key in answers)


def _gives_place(conversation: Conversation, answer_id: str) -> bool:
    """Whether nothing is lost with an answer: what was asked below it is not to go with it."""
    return is_empty(conversation[answer_id]) and not conversation.has_answer(answer_id)


def says_something(answer: Message) -> bool:
    """Whether there is anything of an answer besides what it could rest on."""
    return any(
        part.text if isinstance(part, TextPart) else not isinstance(part, SourcesPart)
        for part in answer.parts
    )
