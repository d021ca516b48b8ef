"""The slash command that looks into the tokens of an answer, and goes another way from one."""

from collections.abc import Sequence
from typing import Final

from chatbot.conversation.commands.face import Command, Face
from chatbot.conversation.token_figures import (
    effect,
    mean_entropy,
    most_uncertain,
    percent,
    perplexity,
    surprise,
)
from chatbot.conversation.token_text import called, visible
from chatbot.errors import CommandError
from chatbot.tokens import NO_TOKEN, TokenRecord

NUM_PLACES: Final = 10
"""Uncertain places that are listed."""


async def _lens(face: Face, arguments: str) -> None:
    number, _, text = arguments.partition(" ")
    if number and not number.isdecimal():
        raise CommandError("/lens takes the number of a token, and a text to go on with there.")
    answer = face.manager.conversation.last("assistant")
    if answer is None:
        raise CommandError("There is no answer to look into yet; ask a question first.")
    records = await face.manager.tokens_of(answer.id)
    if not records:
        raise CommandError("Nothing was recorded of this answer; /regen answers once more.")
    if not number:
        face.show_lens(answer.id, records)
        return
    index = int(number) - 1
    if not 0 <= index < len(records):
        raise CommandError(f"This answer has {len(records):,} tokens; name one of them.")
    if not text:
        face.show_note(token_table(records, index))
        return
    # Most tokens begin with the space before a word, which is easily forgotten here.
    spaced = text if records[index].text[:1] != " " or text[:1] == " " else f" {text}"
    await face.run_turn(face.manager.branch_from_token(answer.id, index, spaced))


def lens_table(records: Sequence[TokenRecord]) -> str:
    """The most uncertain places of an answer, as a Markdown table."""
    lines = [
        f"{len(records):,} tokens, perplexity {perplexity(records):.2f}, "
        f"mean entropy {mean_entropy(records):.2f} bit. The most uncertain places:",
        "",
        "| token | text | probability | entropy | instead |",
        "|---:|---|---:|---:|---|",
    ]
    for index in most_uncertain(records)[:NUM_PLACES]:
        record = records[index]
        others = [a for a in record.alternatives if a.token != record.token][:3]
        instead = ", ".join(f"{_cell(called(a))} {percent(a.before)}" for a in others)
        chance = "typed" if record.token == NO_TOKEN else percent(record.before)
        lines.append(
            f"| {index + 1} | {_cell(visible(record.text))} | {chance} | "
            f"{record.entropy_before:.2f} bit | {instead} |"
        )
    return "\n".join(lines)


def token_table(records: Sequence[TokenRecord], index: int) -> str:
    """What one token was drawn from, as a Markdown table."""
    record = records[index]
    if record.token == NO_TOKEN and not record.alternatives:
        return f"Token {index + 1:,}, {_cell(visible(record.text))}, was not recorded."
    is_typed = record.token == NO_TOKEN
    came = "typed by you" if is_typed else f"surprise {surprise(record):.2f} bit"
    lines = [
        f"Token {index + 1:,} of {len(records):,}, {_cell(visible(record.text))}: {came}, entropy "
        f"{record.entropy_before:.2f} bit, after the settings {record.entropy_after:.2f} bit.",
        "",
        "| token | by the model | after the settings | |",
        "|---|---:|---:|---|",
    ]
    for other in record.alternatives:
        mark = "● " if other.token == record.token else ""
        lines.append(
            f"| {mark}{_cell(called(other))} | {percent(other.before)} | {percent(other.after)} | "
            f"{effect(other)} |"
        )
    return "\n".join(lines)


def _cell(name: str) -> str:
    """A token in a cell of a table, as code."""
    shown = name.replace("|", "¦").replace("`", "ˋ")
    return f"`{shown}`"


COMMANDS = (
    Command(
        "lens",
        "[TOKEN [TEXT]]",
        "looks into the last answer, token by token; with TEXT it goes another way from there.",
        _lens,
    ),
)
