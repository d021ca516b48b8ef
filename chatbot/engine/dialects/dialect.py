"""What a dialect consists of, and what comes out of text that is read by it.

Knows no family.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from chatbot.engine.protocol.messages import ToolSchema

Literal = Callable[[str], str]
"""A piece of text as Lark grammars name it: a string, or a special token's number."""


@dataclass(frozen=True, slots=True)
class Text:
    """The next piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Thinking:
    """The next piece of what is thought."""

    text: str


@dataclass(frozen=True, slots=True)
class Begun:
    """The name of a call is known."""

    index: int
    name: str


@dataclass(frozen=True, slots=True)
class Called:
    """A call is complete."""

    index: int
    name: str
    arguments: str
    raw: str


@dataclass(frozen=True, slots=True)
class Broken:
    """A call that came to nothing."""

    index: int
    name: str
    raw: str
    reason: str


Piece = Text | Thinking | Begun | Called | Broken


@dataclass(frozen=True, slots=True)
class Reading:
    """What the text after a trigger says so far."""

    names: tuple[str, ...] = ()
    """Tools that are called, as far as they are known."""
    arguments: tuple[str, ...] = ()
    """One JSON object for each name, once the end is reached."""
    end: int | None = None
    """Where the call is over; None while it is not."""
    error: str = ""
    """Why it is no call; one sentence, set only with ``end``."""


class CallForm(Protocol):
    """One way to write a call."""

    @property
    def trigger(self) -> str:
        """The text that a call begins with."""
        ...

    @property
    def end(self) -> str:
        """The marker that closes a call; empty where it ends with its last bracket."""
        ...

    @property
    def keeps_trigger(self) -> bool:
        """Whether the trigger is part of what ``read`` and the grammar see."""
        ...

    @property
    def only_at_start(self) -> bool:
        """Whether the trigger counts only where an answer starts."""
        ...

    def grammar(self, tools: Sequence[ToolSchema], literal: Literal) -> str:
        """A Lark grammar of what follows the trigger, up to the call's end.

        Raises:
            ModelError: a tool's schema cannot be written down in it.
        """
        ...

    def read(self, body: str, tools: Sequence[ToolSchema]) -> Reading:
        """Read what follows the trigger; never fails."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How one family writes."""

    name: str
    forms: tuple[CallForm, ...]
    """The first is the one that the family's template teaches."""
    think: tuple[str, str] | None = None
    """What opens and closes thinking."""
    closing: str = ""
    """What ends thinking before the model does, up to the answer's first word. It need not begin
    a line that has begun already."""
    more_markers: tuple[str, ...] = ()
    """Tokens besides triggers, ends and ``think`` that are read as text though they have none."""
    separators: str = " \n\r\t;,"
    """What may stand between two calls."""
    knows_tools: bool = True
    """Whether the template is given the tools; else they stand in the messages."""
    writes_raw: bool = True
    """Whether earlier calls may be shown as they were written."""
    call_id_length: int = 0
    """Where the template demands one: the length of a call's id."""
    not_ends: frozenset[str] = frozenset()
    """Tokens that end answers elsewhere, but not here."""
    has_channels: bool = False
    """Whether an answer comes in channels, each with a head of its own."""

    @property
    def markers(self) -> frozenset[str]:
        """All that must be seen in the text, even if it is a special token."""
        found = {*self.more_markers, *(self.think or ())}
        for form in self.forms:
            found.update((form.trigger, form.end))
        return frozenset(found - {""})
