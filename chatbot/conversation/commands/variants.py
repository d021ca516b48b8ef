"""Slash commands that answer one question several times, and take one of the answers."""

from collections.abc import Iterable, Mapping, Sequence

from chatbot.conversation.commands.face import Command, Face
from chatbot.conversation.mentions import mentioned_files
from chatbot.conversation.thinking import refuse_thinking
from chatbot.conversation.variants.wishes import (
    COMPARED,
    DEFAULT_NUMBER,
    Wish,
    parse_number,
    wish_for_beams,
    wish_for_models,
    wish_for_seeds,
    wish_for_values,
)
from chatbot.errors import CommandError
from chatbot.models.catalogue import catalogue
from chatbot.settings import SPECS, find_spec
from chatbot.strategies import DEFAULT_BEAMS, STRATEGIES


async def _variants(face: Face, arguments: str) -> None:
    number, question = _number_and_question(arguments, DEFAULT_NUMBER)
    wish = wish_for_seeds(face.manager.settings, number)
    await _answer_variously(face, wish, question)


async def _beam(face: Face, arguments: str) -> None:
    number, question = _number_and_question(arguments, DEFAULT_BEAMS)
    wish = wish_for_beams(face.manager.settings, number)
    await _answer_variously(face, wish, question)


async def _answer_variously(face: Face, wish: Wish, question: str) -> None:
    answering = face.manager.answer_variously(wish, question, files=mentioned_files(question))
    await face.run_variants(answering)


async def _sweep(face: Face, arguments: str) -> None:
    name, *values = arguments.split() or [""]
    if not name:
        raise CommandError("Name a setting and its values: /sweep temperature 0.3 0.7 1.0")
    wish = wish_for_values(face.manager.settings, name, values)
    await face.run_variants(face.manager.answer_variously(wish))


async def _compare(face: Face, arguments: str) -> None:
    name, *values = arguments.split() or [""]
    wish = wish_for_models(face.manager.settings, name, values)
    info = face.manager.engine.status.info
    if info and name == "thinking":
        for choice in wish.choices:
            refuse_thinking(choice.settings, info)
    await face.run_variants(face.manager.answer_variously(wish))


async def _keep(face: Face, arguments: str) -> None:
    if not arguments.isdecimal() or len(arguments) > 4:
        raise CommandError("Name an answer by its number: /keep 2")
    face.manager.keep(int(arguments))
    face.show_conversation()
    face.show_note(f"Answer {arguments} is the one that the chat goes on from.")


def _number_and_question(arguments: str, default: int) -> tuple[int, str]:
    """What ``4 Why is the sky blue?`` says; either may be left out."""
    first, _, rest = arguments.partition(" ")
    if first.isdecimal():
        return parse_number(first, default), rest.strip()
    return default, arguments


def _sweep_words(face: Face, before: Sequence[str]) -> Mapping[str, str]:
    if not before:
        swept = {spec.name: spec.help for spec in SPECS if spec.is_sampling}
        return {**swept, "strategy": "how the words are chosen"}
    return _others(STRATEGIES, before) if before[0] == "strategy" else {}


def _compare_words(face: Face, before: Sequence[str]) -> Mapping[str, str]:
    match before:
        case []:
            return {spec.name: spec.help for spec in SPECS if spec.name in COMPARED}
        case ["model", *_]:
            return _others(catalogue(), before)
        case [name, *_] if name in COMPARED:
            return _others(find_spec(name).choices, before)
    return {}


def _others(values: Iterable[str], before: Sequence[str]) -> Mapping[str, str]:
    return {value: "" for value in values if value not in before[1:]}


COMMANDS = (
    Command(
        "variants",
        "[N] [QUESTION]",
        "answers the last question, or a new one, N times at once (4).",
        _variants,
    ),
    Command(
        "sweep",
        "SETTING VALUES",
        "answers once for each value: temperature 0.3 0.7 1.0, strategy greedy top-k top-p.",
        _sweep,
        _sweep_words,
    ),
    Command(
        "beam",
        "[N] [QUESTION]",
        "finds the likeliest answers by a beam search with N beams (5).",
        _beam,
    ),
    Command(
        "compare",
        "WHAT VALUES",
        "answers with one after the other: precision fp32 8-bit, model A B, thinking on off.",
        _compare,
        _compare_words,
    ),
    Command("keep", "N", "takes answer N to the question as the one to go on from.", _keep),
)
