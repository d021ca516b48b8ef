"""Ways to choose the next token, by name: what each makes of the sampling settings.

Values in, values out. Beam search is none of them: it chooses whole answers.
"""

from typing import Final, Literal, get_args

import msgspec

from chatbot.errors import SettingError
from chatbot.settings import Sampling

Strategy = Literal["greedy", "top-k", "top-p"]

STRATEGIES: Final[tuple[Strategy, ...]] = get_args(Strategy)

STRATEGY_SETTINGS: Final = ("temperature", "top_k", "top_p", "min_p")
"""Settings that a strategy decides on."""

DEFAULT_BEAMS: Final = 5

_TEMPERATURE: Final = 1.0
_TOP_K: Final = 50
_TOP_P: Final = 0.9
"""Taken where the settings have them off."""


def find_strategy(name: str) -> Strategy:
    """The strategy called ``name``.

    Raises:
        SettingError: there is none of that name.
    """
    for strategy in STRATEGIES:
        if name.lower() == strategy:
            return strategy
    raise SettingError(f"There is no strategy {name[:40]!r}; there are {', '.join(STRATEGIES)}.")


def with_strategy(sampling: Sampling, strategy: Strategy) -> Sampling:
    """``sampling`` with nothing but ``strategy`` deciding; its own numbers stay where they are on.

    Args:
        sampling: the settings.
        strategy: ``greedy`` takes the likeliest token, ``top-k`` draws from the likeliest few
            (Fan et al. 2018), ``top-p`` from the nucleus (Holtzman et al. 2020).
    """
    if strategy == "greedy":
        return msgspec.structs.replace(sampling, temperature=0.0)
    drawn = msgspec.structs.replace(
        sampling, temperature=sampling.temperature or _TEMPERATURE, min_p=0.0
    )
    if strategy == "top-k":
        return msgspec.structs.replace(drawn, top_k=drawn.top_k or _TOP_K, top_p=1.0)
    return msgspec.structs.replace(drawn, top_k=0, top_p=drawn.top_p if drawn.top_p < 1 else _TOP_P)
