"""What several answers to one question are to differ in. Values in, values out."""

import secrets
from collections.abc import Sequence
from typing import Final

import msgspec

from chatbot.conversation.seeds import NUM_SEEDS, draw_seed
from chatbot.engine.protocol.variants import MAX_VARIANTS
from chatbot.errors import CommandError, SettingError
from chatbot.events import VariantsKind
from chatbot.settings import MAX_SEED, Settings, find_spec, get_value, with_value
from chatbot.strategies import STRATEGY_SETTINGS, find_strategy, with_strategy

DEFAULT_NUMBER: Final = 4

COMPARED: Final = ("precision", "model", "thinking")
"""Settings whose values are compared one after the other, not in one batch."""


class Choice(msgspec.Struct, frozen=True):
    """One of the answers that are wanted."""

    label: str
    """What sets it apart."""
    settings: Settings


class Wish(msgspec.Struct, frozen=True):
    """The answers that are wanted."""

    kind: VariantsKind
    choices: tuple[Choice, ...]
    varied: tuple[str, ...] = ()
    """Names of the settings that set the answers apart: each has its own value to the end."""


def wish_for_seeds(settings: Settings, number: int) -> Wish:
    """So many answers that differ in their seed alone; a seed that is set counts on.

    Raises:
        CommandError: they would all be the same.
        SettingError: they are too many or too few.
    """
    _check_number(number)
    if settings.sampling.is_greedy:
        raise CommandError("At temperature 0 all answers would be the same; set a higher one.")
    first = settings.sampling.seed
    if first is None:
        seeds = secrets.SystemRandom().sample(range(NUM_SEEDS), number)
    else:
        seeds = [(first + index) % (MAX_SEED + 1) for index in range(number)]
    choices = (Choice(f"seed {seed}", _seeded(settings, seed)) for seed in seeds)
    return Wish("variants", tuple(choices), ("seed",))


def wish_for_values(settings: Settings, name: str, values: Sequence[str]) -> Wish:
    """One answer for each value of a sampling setting, or for each strategy.

    All are drawn with the same seed, so that nothing else tells them apart.

    Args:
        settings: the other settings.
        name: the setting, or ``strategy``.
        values: as the user would type them.

    Raises:
        CommandError: it is no sampling setting, or there is nothing to choose from.
        SettingError: a value is not allowed, or there are too many.
    """
    if len(values) < 2:
        raise CommandError("Give at least two values: /sweep temperature 0.3 0.7 1.0")
    _check_number(len(values))
    seeded = _seeded(settings, _common_seed(settings))
    if name == "strategy":
        strategies = [find_strategy(value) for value in values]
        choices = [
            Choice(
                strategy,
                msgspec.structs.replace(seeded, sampling=with_strategy(seeded.sampling, strategy)),
            )
            for strategy in strategies
        ]
        return Wish("sweep", tuple(choices), STRATEGY_SETTINGS)
    spec = find_spec(name)
    if not spec.is_sampling:
        raise CommandError(
            f"{spec.label} cannot be swept in one batch; models, precisions and thinking are "
            "compared by /compare."
        )
    choices = []
    for value in values:
        changed = with_value(seeded, spec.name, value)
        shown = spec.format(get_value(changed, spec.name))
        choices.append(Choice(f"{spec.label.lower()} {shown}", changed))
    return Wish("sweep", tuple(choices), (spec.name,))


def wish_for_beams(settings: Settings, number: int) -> Wish:
    """The answers that a beam search with so many beams finds.

    Raises:
        SettingError: that is no number of beams.
    """
    _check_number(number)
    likeliest = with_strategy(settings.sampling, "greedy")
    changed = msgspec.structs.replace(settings, sampling=likeliest)
    return Wish("beams", tuple(Choice(f"beam {n}", changed) for n in range(1, number + 1)))


def wish_for_models(settings: Settings, name: str, values: Sequence[str]) -> Wish:
    """One answer by each model, in each precision, or with thinking and without; all are drawn with
    the same seed.

    Args:
        settings: the other settings.
        name: ``model``, ``precision`` or ``thinking``.
        values: as the user would type them.

    Raises:
        CommandError: there is nothing to compare.
        SettingError: there is no such value, or they are too many.
    """
    if name not in COMPARED:
        raise CommandError(
            "/compare takes precision, model or thinking, and at least two of them: "
            "/compare precision fp32 8-bit"
        )
    if len(values) < 2:
        raise CommandError(f"Name at least two to compare: /compare {name} A B")
    _check_number(len(values))
    seeded = _seeded(settings, _common_seed(settings))
    word = "thinking " if name == "thinking" else ""
    choices = (Choice(f"{word}{value}", with_value(seeded, name, value)) for value in values)
    return Wish("comparison", tuple(choices), (name,))


def parse_number(text: str, default: int) -> int:
    """How many answers ``text`` asks for.

    Raises:
        SettingError: it is no such number.
    """
    number = int(text) if text.isdecimal() and len(text) < 4 else 0 if text else default
    _check_number(number)
    return number


def _check_number(number: int) -> None:
    if not 2 <= number <= MAX_VARIANTS:
        raise SettingError(f"From 2 to {MAX_VARIANTS} answers can be made at once.")


def _common_seed(settings: Settings) -> int:
    seed = settings.sampling.seed
    return draw_seed() if seed is None else seed


def _seeded(settings: Settings, seed: int) -> Settings:
    sampling = msgspec.structs.replace(settings.sampling, seed=seed)
    return msgspec.structs.replace(settings, sampling=sampling)
