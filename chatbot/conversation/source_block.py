"""How the sources of a question stand in the prompt: before it, marked off as data.

Every line of a passage begins with ``> ``, and no line that does so is anything else. So a
passage can hold whatever it likes, the look of this very block included: it can neither end
nor pose as another source. The same sources always make the same text, because the cached
prefix of the next prompt depends on it. Knows neither the engine nor where sources are from.
"""

from collections.abc import Sequence
from typing import Final

from chatbot.messages import Message, Source, SourcesPart
from chatbot.terminal_text import clean, clean_line

INTRODUCTION: Final = "Context, quoted from documents. Answer from it; if it has no answer, say so."
"""Short, and ahead of the passages: with an instruction next to the question, a small model
answers the instruction."""


def with_sources(question: str, sources: Sequence[Source]) -> str:
    """The user's message: an instruction, the sources, and last the question.

    Without a source it is the question alone.
    """
    if not sources:
        return question
    blocks = [_block(number, source) for number, source in enumerate(sources, 1)]
    return "\n\n".join([INTRODUCTION, *blocks, f"Question: {question}"])


def _block(number: int, source: Source) -> str:
    heading = f"[{number}] {clean_line(source.title)} ({clean_line(source.location, 1000)})"
    # splitlines knows more ends of lines than the newline; a model may take them for one, too.
    return "\n".join([heading, *(f"> {line}".rstrip() for line in clean(source.text).splitlines())])


def worked_example() -> tuple[str, str]:
    """A question with a source, and an answer that keeps to its words and then ends.

    A model of a hundred million parameters gives a source back in words of its own, which are
    wrong, and goes on until it is cut off, unless it has seen this once.
    """
    return (
        with_sources("What does mulch do?", [_MULCH]),
        "Mulch keeps the soil moist and stops weeds from growing.",
    )


_MULCH: Final = Source(
    title="Garden › What does mulch do?",
    location="garden.md:3",
    text=(
        "Mulch keeps the soil moist and stops weeds from growing. A layer of 5 to 8 cm (default 6)"
        " is\nenough for most beds. Renew it in spring; in autumn, leave the old one."
    ),
)


def sources_of(answer: Message) -> SourcesPart | None:
    """The sources that an answer was given; None where none were looked for."""
    return next((part for part in answer.parts if isinstance(part, SourcesPart)), None)
