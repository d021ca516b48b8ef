"""What there is to say of how an answer was made: which settings made it, and whether it could only
be the same as one before. Values in, values out.
"""

from typing import Final

from chatbot.conversation.tree import Conversation
from chatbot.messages import Making, Message
from chatbot.settings import SPECS, Sampling

_OF_DRAWING: Final = ("top_p", "top_k", "min_p", "seed")
"""Settings that mean nothing where no token is drawn."""

_DEFAULTS: Final = Sampling()


def drawn_with(made: Making) -> dict[str, str]:
    """The sampling settings that an answer was begun with and that are not the defaults, by name,
    as the user would type them: the seed first, where tokens were drawn. Of several answers that
    differ in a setting each has its own, default or not."""
    if made.is_by_program:
        return {}
    nothing_is_drawn = made.num_beams > 0 or made.sampling.is_greedy
    told = {}
    for spec in SPECS:
        if not spec.is_sampling or (nothing_is_drawn and spec.name in _OF_DRAWING):
            continue
        if made.num_beams and spec.name == "temperature":
            continue
        value = getattr(made.sampling, spec.name)
        if value != getattr(_DEFAULTS, spec.name) or spec.name in made.varied:
            told[spec.name] = spec.format(value)
    seed = {"seed": told.pop("seed")} if "seed" in told else {}
    return seed | told


def beam_words(made: Making) -> str:
    """What a beam search says of the answer that it found: ``beam of 5, score -0.633``; empty where
    there was none."""
    if not made.num_beams:
        return ""
    score = "" if made.score is None else f", score {made.score:.3f}"
    return f"beam of {made.num_beams}{score}"


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
