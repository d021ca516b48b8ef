"""An answer that says again what another one said, and why. Values in, values out."""

from chatbot.conversation.tree import Conversation
from chatbot.messages import Message


def repetition_note(conversation: Conversation, answer: Message) -> str:
    """One sentence where a new answer could only be the same as one before; empty elsewhere."""
    made = answer.making
    if made is None or made.is_by_program or made.changes or answer.id not in conversation:
        return ""
    if made.finish_reason not in ("stop", "length"):
        return ""
    others = (conversation[key] for key in conversation.variants(answer.id) if key != answer.id)
    for other in others:
        same = other.making and other.making.sampling == made.sampling
        if same and other.text == answer.text:
            if made.sampling.is_greedy:
                return "The very same answer: at temperature 0 nothing is drawn."
            return (
                f"The very same answer: the seed is {made.sampling.seed}; /set seed random "
                "draws another one."
            )
    return ""
