"""The slash command that says what an answer cost, and what computed it."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from chatbot.conversation.commands.face import Command, Face
from chatbot.conversation.commands.setting import model_note
from chatbot.conversation.making_words import drawn_with
from chatbot.errors import CommandError
from chatbot.messages import Making, Message, Statistics
from chatbot.terminal_text import clean_line
from chatbot.wording import counted, memory

_HEIGHTS: Final = "▁▂▃▄▅▆▇█"

_MAX_DRAWN: Final = 40
"""Answers whose speed is drawn."""

_BAR_WIDTH: Final = 24
"""Cells of the longest bar."""

_STEPS: Final = {
    "fused": "a step of our own",
    "fused graph": "a step of our own, captured as one CUDA graph",
    "static": "the model's own step, on a cache that does not move",
    "static graph": "the model's own step, captured as one CUDA graph",
    "transformers": "the model's own step, on a cache that grows",
}


async def _stats(face: Face, arguments: str) -> None:
    manager = face.manager
    counted_makings = _counted(manager.conversation.path())
    shown = [cost for _, cost in counted_makings]
    if not shown:
        raise CommandError("No answer has been counted yet; ask a question first.")
    lines = ["**Last answer**", "", *_lines_of(shown[-1])]
    if settings := drawn_with(counted_makings[-1][0]):
        lines.append("- made with " + ", ".join(f"`{n}` {value}" for n, value in settings.items()))
    lines += ["", "**This chat**", ""]
    costs = [cost for _, cost in _counted(manager.conversation.messages())]
    lines += _lines_of_all(costs, shown)
    face.show_note("\n".join([*lines, "", f"**Model:** {model_note(manager)}"]))


def _counted(messages: Iterable[Message]) -> list[tuple[Making, Statistics]]:
    """How those answers were made that were counted, and what each cost."""
    makings = (message.making for message in messages)
    return [(made, made.statistics) for made in makings if made and made.statistics]


def _lines_of(cost: Statistics) -> Iterator[str]:
    num_read = cost.num_prompt_tokens - cost.num_cached_tokens
    has_begun = cost.num_new_tokens > 0
    speed = f"{cost.tokens_per_second:.1f} a second" if cost.tokens_per_second else ""
    rows = (
        ("kept", cost.num_cached_tokens, "━", ""),
        ("read", num_read, "█", f"{cost.first_token_seconds:.2f} s" if has_begun else ""),
        ("written", cost.num_new_tokens, "▒", speed),
    )
    most = max(size for _, size, _, _ in rows)
    yield from ("| | tokens | | |", "|---|---:|---|---|")
    for name, size, shade, took in rows:
        # What is not nothing is seen.
        bar = shade * max(round(size / max(most, 1) * _BAR_WIDTH), int(size > 0))
        yield f"| {name} | {size:,} | {bar} | {took} |"
    yield ""
    if cost.decoder:
        why = f", because {clean_line(cost.decoder_reason)}" if cost.decoder_reason else ""
        known = _STEPS.get(cost.decoder, "")
        yield f"- computed by `{clean_line(cost.decoder)}`{known and ': '}{known}{why}"
    if cost.num_guessed:
        yield (
            f"- guessed ahead from the context: {cost.num_guessed:,} tokens, "
            f"{cost.num_guessed_right:,} of them right"
        )
    if cost.cache_bytes:
        yield f"- keys and values: {memory(cost.cache_bytes)}"


def _lines_of_all(costs: Sequence[Statistics], shown: Sequence[Statistics]) -> Iterator[str]:
    """What all answers took, and how fast those came that are on the screen."""
    num_new = sum(cost.num_new_tokens for cost in costs)
    seconds = sum(cost.seconds for cost in costs)
    answers = counted(len(costs), "answer")
    others = len(costs) - len(shown)
    hidden = f", {others:,} of them on other branches" if others else ""
    yield f"- {answers}{hidden}; {num_new:,} tokens, {seconds:,.1f} s of computing"
    speeds = [cost.tokens_per_second for cost in shown if cost.tokens_per_second][-_MAX_DRAWN:]
    if len(speeds) > 1:
        yield (
            f"- tokens a second, answer by answer: `{_drawn(speeds)}`, lowest {min(speeds):.1f}, "
            f"highest {max(speeds):.1f}"
        )


def _drawn(values: Sequence[float]) -> str:
    """A column for each value; the highest is full."""
    highest = max(values)
    last = len(_HEIGHTS) - 1
    return "".join(_HEIGHTS[round(last * value / highest)] for value in values)


COMMAND: Final = Command(
    "stats", "", "says what the answers cost, and by which step they were computed.", _stats
)
