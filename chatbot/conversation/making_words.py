"""Which settings made an answer, as far as they are worth a word. Values in, values out."""

from typing import Final

from chatbot.messages import Making
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
