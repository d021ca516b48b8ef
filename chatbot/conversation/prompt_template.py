"""A prompt of the library as a value: what it asks for, and what becomes of it when filled.

Knows neither files nor faces.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from chatbot.conversation.prompt_rendering import (
    EXAMPLES,
    MAX_RENDERED_CHARS,
    Piece,
    join_pieces,
    render_pieces,
)
from chatbot.errors import PromptError, PromptUsageError
from chatbot.terminal_text import clean, clean_line

Kind = Literal["question", "persona"]
"""A question is sent; a persona becomes the system prompt."""

INPUT: Final = "input"
"""The variable that free text goes to: a question on the command line, what is piped in."""

_ARROW: Final = "=>"


class Variable(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a prompt asks for."""

    name: str
    description: str = ""
    default: str | None = None
    """None when the user has to give it; an empty text when it may stay empty."""
    choices: tuple[str, ...] = ()
    """The values that are allowed; empty when any text is."""

    @property
    def is_required(self) -> bool:
        """Whether the user has to give it."""
        return self.default is None

    def check(self, value: str) -> None:
        """Refuse a value that is not among the choices.

        Raises:
            PromptUsageError: it is not; the text lists them.
        """
        if self.choices and value not in (*self.choices, self.default):
            allowed = ", ".join(self.choices)
            raise PromptUsageError(f"{self.name} must be one of {allowed}; not {_short(value)!r}.")


class Example(msgspec.Struct, frozen=True):
    """One example of what is wanted."""

    input: str
    output: str


class FilledPrompt(msgspec.Struct, frozen=True):
    """A prompt with all its variables given."""

    prompt: "PromptTemplate"
    text: str
    """What is sent, or set as the system prompt."""
    values: tuple[str, ...] = ()
    """What the user gave for its variables."""


class PromptTemplate(msgspec.Struct, frozen=True, kw_only=True):
    """One prompt of the library."""

    name: str
    description: str
    kind: Kind = "question"
    body: str
    """The template, in jinja's syntax."""
    variables: tuple[Variable, ...] = ()
    examples: tuple[Example, ...] = ()
    settings: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Sampling settings for its answer, as the user would type them; all valid."""
    file: Path = Path()

    @property
    def fields(self) -> tuple[Variable, ...]:
        """All that can be given: the variables, and the examples as lines of text."""
        if not self.examples:
            return self.variables
        examples = Variable(
            name=EXAMPLES,
            description=f"One a line, as input {_ARROW} output",
            default=format_examples(self.examples),
        )
        return (*self.variables, examples)

    def missing(self, values: Mapping[str, str]) -> tuple[Variable, ...]:
        """The required variables that ``values`` gives nothing for."""
        return tuple(v for v in self.fields if v.is_required and not values.get(v.name, "").strip())

    def fill(self, values: Mapping[str, str]) -> FilledPrompt:
        """The prompt with these values, and its defaults where there are none.

        Raises:
            PromptUsageError: a variable is missing (the text names all that are), unknown, or
                has a value that is not allowed.
            PromptError: the template cannot be rendered with them.
        """
        if missing := self.missing(values):
            raise PromptUsageError(self._needs(missing))
        text = join_pieces(self._render(values))
        if not text:
            raise PromptUsageError(f"The prompt {self.name!r} is empty with these values.")
        return FilledPrompt(self, text, tuple(values.values()))

    def preview(self, values: Mapping[str, str]) -> tuple[Piece, ...]:
        """The prompt as far as it is filled; what is missing is shown as ``‹its name›``.

        Raises:
            PromptError: as ``fill``, but for missing variables.
        """
        shown = dict(values)
        for variable in self.missing(values):
            shown[variable.name] = placeholder(variable.name)
        return self._render(shown, is_preview=True)

    def find_field(self, name: str) -> Variable:
        """The field called ``name``.

        Raises:
            PromptUsageError: there is none; the text lists those there are.
        """
        for variable in self.fields:
            if variable.name == name:
                return variable
        known = ", ".join(v.name for v in self.fields) or "none"
        raise PromptUsageError(
            f"The prompt {self.name!r} has no variable {_short(name)!r}; it has {known}."
        )

    def _render(self, values: Mapping[str, str], *, is_preview: bool = False) -> tuple[Piece, ...]:
        given: dict[str, Any] = {v.name: v.default or "" for v in self.fields}
        for name, value in values.items():
            field = self.find_field(name)
            if len(value) > MAX_RENDERED_CHARS:
                raise PromptUsageError(
                    f"{name} is longer than {MAX_RENDERED_CHARS:,} characters; shorten it."
                )
            if not (is_preview and value == placeholder(name)):
                field.check(value)
            given[name] = clean(value)
        if EXAMPLES in given:
            given[EXAMPLES] = [msgspec.structs.asdict(e) for e in parse_examples(given[EXAMPLES])]
        try:
            return tuple(render_pieces(self.body, given))
        except PromptError as error:
            raise PromptError(f"The prompt {self.name!r} cannot be used: {error}") from error

    def _needs(self, missing: tuple[Variable, ...]) -> str:
        names = ", ".join(
            f"{v.name} ({v.description.rstrip('.')})" if v.description else v.name for v in missing
        )
        return f"The prompt {self.name!r} still needs: {names}."


def placeholder(name: str) -> str:
    """What stands in a preview for a variable that is missing."""
    return f"‹{name}›"


def format_examples(examples: tuple[Example, ...]) -> str:
    """Examples as lines of text that can be edited; a line break in one is written ``\\n``."""
    return "\n".join(
        f"{_one_line(example.input)} {_ARROW} {_one_line(example.output)}" for example in examples
    )


def parse_examples(text: str) -> tuple[Example, ...]:
    """The examples in such lines; empty lines do not count.

    Raises:
        PromptUsageError: a line has no arrow.
    """
    examples = []
    for line in text.splitlines():
        if not line.strip():
            continue
        given, arrow, wanted = line.partition(_ARROW)
        if not arrow:
            raise PromptUsageError(
                f"An example is written input {_ARROW} output; {_short(line.strip())!r} is not."
            )
        examples.append(Example(_many_lines(given), _many_lines(wanted)))
    return tuple(examples)


def _one_line(text: str) -> str:
    return text.strip().replace("\\", "\\\\").replace("\n", "\\n")


def _many_lines(text: str) -> str:
    parts = text.strip().split("\\\\")
    return "\\".join(part.replace("\\n", "\n") for part in parts)


def _short(text: str) -> str:
    return clean_line(text, 60)
