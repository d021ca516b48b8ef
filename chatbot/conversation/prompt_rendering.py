"""Rendering a prompt's template: jinja2's sandbox, and in it a language that always ends.

A prompt is a file that somebody else may have written, and it is rendered at every key that
is pressed in the picker. So a template may use a small part of jinja alone, checked on its
syntax tree before anything of it runs: variables, six filters, ``if``, and one ``for`` over
the examples. Without calls, assignments, arithmetic and loops in loops, the work is bounded
by the template's size; the deadline and the longest output are there should that be wrong.

Values are data: they are inserted and never read as a template. Knows no file.
"""

import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from chatbot.errors import PromptError
from chatbot.terminal_text import clean

if TYPE_CHECKING:
    from jinja2.nodes import Node
    from jinja2.sandbox import SandboxedEnvironment

MAX_RENDERED_CHARS: Final = 1_000_000
MAX_RENDER_SECONDS: Final = 2.0
MAX_NODES: Final = 1000
"""Most elements of a template's syntax tree."""
MAX_DEPTH: Final = 30
MAX_FILTERS: Final = 3
"""Most filters in a row: each may lengthen a text, and so each would multiply."""

EXAMPLES: Final = "examples"
"""The one list that a template may go through."""

FILTERS: Final = ("upper", "lower", "capitalize", "title", "trim", "tojson")

_EXAMPLE_FIELDS: Final = ("input", "output")
_LOOP_FIELDS: Final = ("index", "first", "last", "length")
_PLAIN_NODES: Final = frozenset(
    (
        *("Template", "Output", "TemplateData", "Const", "If", "CondExpr"),
        *("And", "Or", "Not", "Compare", "Operand", "List", "Tuple"),
    )
)
_STATEMENTS: Final = {
    "Assign": "{% set %}",
    "AssignBlock": "{% set %}",
    "Block": "{% block %}",
    "Call": "calls",
    "CallBlock": "{% call %}",
    "Extends": "{% extends %}",
    "FilterBlock": "{% filter %}",
    "FromImport": "{% from %}",
    "Getitem": "subscripts",
    "Import": "{% import %}",
    "Include": "{% include %}",
    "Macro": "{% macro %}",
    "Test": "tests with 'is'",
    "With": "{% with %}",
}
_MAY_USE: Final = (
    "a prompt may use {{ variables }}, {% if %} and {% for example in examples %}, "
    f"with the filters {', '.join(FILTERS)}"
)
_MARK: Final = "\ufdd0"
"""In front of each piece of output that came from a value. Not a character, by Unicode."""


class Piece(msgspec.Struct, frozen=True):
    """A part of a rendered prompt."""

    text: str
    is_value: bool
    """Whether it was inserted; else it stands in the template."""


def check_template(template: str, names: Collection[str], *, has_examples: bool) -> None:
    """Refuse a template that uses anything beyond what is allowed.

    Args:
        template: its text.
        names: the variables that the prompt declares.
        has_examples: whether ``examples`` may be gone through.

    Raises:
        PromptError: it is not a template, or not one of the allowed kind.
    """
    from jinja2 import TemplateError

    try:
        tree = _environment().parse(template)
    except TemplateError as error:
        place = getattr(error, "lineno", None)
        where = f"line {place} of its text" if place else "its text"
        raise PromptError(f"{where} is no template ({error}).") from error
    except (RecursionError, ValueError, MemoryError) as error:
        raise PromptError("its text is nested too deeply, or holds too long a number.") from error
    _check_tree(tree, frozenset(names), has_examples)


def render_pieces(template: str, values: Mapping[str, Any]) -> Iterator[Piece]:
    """Render a template that ``check_template`` let pass, piece by piece.

    Args:
        template: its text.
        values: a text for each variable, and under ``examples`` a list of mappings.

    Raises:
        PromptError: it fails, takes too long, or becomes too long.
    """
    ends_at = time.monotonic() + MAX_RENDER_SECONDS
    length = 0
    try:
        for raw in _environment().from_string(template).generate(values):
            is_value = raw.startswith(_MARK)
            # Cleaned here, because a template can spell out control characters. A constant
            # carries its mark into the text around it.
            text = clean(raw.replace(_MARK, ""))
            length += len(text)
            if length > MAX_RENDERED_CHARS:
                raise PromptError(f"it becomes longer than {MAX_RENDERED_CHARS:,} characters.")
            if time.monotonic() > ends_at:
                raise PromptError(f"it takes longer than {MAX_RENDER_SECONDS:g} seconds.")
            yield Piece(text, is_value)
    except PromptError:
        raise
    except Exception as error:  # whatever a template of somebody else's makes jinja raise
        raise PromptError(f"its text cannot be rendered ({error}).") from error


def join_pieces(pieces: Sequence[Piece]) -> str:
    """The text that pieces make up, without empty lines at its ends."""
    return "".join(piece.text for piece in pieces).strip()


def _environment() -> "SandboxedEnvironment":
    from jinja2 import StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    environment = SandboxedEnvironment(
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
        finalize=lambda value: f"{_MARK}{value}",
        cache_size=0,
    )
    environment.globals.clear()
    environment.tests.clear()
    # Jinja's own tojson escapes for HTML, which a model would have to read around.
    environment.filters = {
        **{name: environment.filters[name] for name in FILTERS},
        "tojson": lambda value: json.dumps(value, ensure_ascii=False),
    }
    return environment


def _check_tree(tree: "Node", names: frozenset[str], has_examples: bool) -> None:
    """Walk the tree without recursion: a deep one must not end the program.

    Raises:
        PromptError: something in it is not allowed.
    """
    num_nodes = 0
    # A node, the names it sees, and how deep it lies. The loop's own names are in the second.
    todo: list[tuple[Node, frozenset[str], frozenset[str], int]] = [(tree, names, frozenset(), 0)]
    while todo:
        node, seen, looped, depth = todo.pop()
        num_nodes += 1
        if num_nodes > MAX_NODES or depth > MAX_DEPTH:
            raise PromptError("its text is too long or too deeply nested for a template.")
        children: Sequence[Node] = tuple(node.iter_child_nodes())
        match type(node).__name__:
            case kind if kind in _PLAIN_NODES:
                pass
            case "Name":
                _require(node.name in seen, _unknown(node.name, seen))  # type: ignore[attr-defined]
            case "Filter":
                children = _check_filter(node)
            case "Getattr":
                _check_attribute(node, looped)
                children = ()
            case "For":
                _require(not looped, "a loop in a loop is not allowed.")
                target, children = _check_loop(node, has_examples)
                looped = frozenset((target, "loop"))
            case kind:
                _require(False, f"it uses {_STATEMENTS.get(kind, kind)}; {_MAY_USE}.")
        todo.extend((child, seen, looped, depth + 1) for child in children)


def _check_filter(node: Any) -> "Sequence[Node]":
    _require(node.name in FILTERS, f"there is no filter {node.name!r}; {_MAY_USE}.")
    extras = (node.args, node.kwargs, node.dyn_args, node.dyn_kwargs)
    _require(not any(extras), f"the filter {node.name!r} takes no arguments here.")
    at, count = node, 0
    while type(at).__name__ == "Filter":
        at, count = at.node, count + 1
    _require(count <= MAX_FILTERS, f"more than {MAX_FILTERS} filters follow one another.")
    return (node.node,) if node.node is not None else ()


def _check_attribute(node: Any, looped: frozenset[str]) -> None:
    holder = getattr(node.node, "name", "")
    allowed = _LOOP_FIELDS if holder == "loop" else _EXAMPLE_FIELDS
    _require(
        holder in looped and node.attr in allowed,
        "a dot may follow an example only (.input, .output), inside of "
        "{% for example in examples %}, or loop (." + ", .".join(_LOOP_FIELDS) + ").",
    )


def _check_loop(node: Any, has_examples: bool) -> "tuple[str, Sequence[Node]]":
    over = getattr(node.iter, "name", "")
    target = getattr(node.target, "name", "")
    _require(
        bool(target) and over == EXAMPLES and not node.recursive and node.test is None,
        "the one loop is {% for example in examples %}.",
    )
    _require(has_examples, "it goes through examples, and has none.")
    return target, (*node.body, *node.else_)


def _unknown(name: str, known: Collection[str]) -> str:
    listed = ", ".join(sorted(known)) or "none"
    return f"its text uses {name!r}, which is no variable of it; there are {listed}."


def _require(is_allowed: bool, otherwise: str) -> None:
    if not is_allowed:
        raise PromptError(otherwise)
