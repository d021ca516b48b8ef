import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatbot.errors import ToolError
from chatbot.terminal_text import is_safe
from chatbot.tools import tool
from chatbot.tools.definitions import define, is_name
from chatbot.tools.docstrings import parameter_descriptions, summary


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Point:
    x: float
    colour: Colour = Colour.RED


class Node(msgspec.Struct):
    children: "list[Node]"


def everything(
    text: str,
    number: float,
    count: Annotated[int, msgspec.Meta(ge=1, le=9)],
    mode: Literal["fast", "slow"],
    colour: Colour = Colour.BLUE,
    names: list[str] | None = None,
    sizes: dict[str, int] | None = None,
    point: Point | None = None,
    is_loud: bool = False,
) -> str:
    """Do everything,
    at once.

    More words that the model need not read.

    Args:
        text: What to do it to,
            in full.
        count (int): How often: at most nine.
        is_loud: Whether
          to shout.

    Returns:
        Nothing: at all.
    """
    return text


def test_definition_of_a_function() -> None:
    definition = define(everything)
    assert definition.name == "everything"
    assert definition.description == "Do everything, at once."
    assert definition.parameters == {
        "type": "object",
        "properties": {
            "text": {"type": "string", "description": "What to do it to, in full."},
            "number": {"type": "number"},
            "count": {
                "type": "integer",
                "minimum": 1,
                "maximum": 9,
                "description": "How often: at most nine.",
            },
            "mode": {"enum": ["fast", "slow"], "type": "string"},
            "colour": {"enum": ["blue", "red"], "type": "string", "default": "blue"},
            "names": {
                "anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}],
                "default": None,
            },
            "sizes": {
                "anyOf": [
                    {"type": "object", "additionalProperties": {"type": "integer"}},
                    {"type": "null"},
                ],
                "default": None,
            },
            "point": {
                "anyOf": [
                    {
                        "type": "object",
                        "properties": {
                            "x": {"type": "number"},
                            "colour": {"enum": ["blue", "red"], "type": "string"},
                        },
                        "required": ["x"],
                        "additionalProperties": False,
                    },
                    {"type": "null"},
                ],
                "default": None,
            },
            "is_loud": {
                "type": "boolean",
                "default": False,
                "description": "Whether to shout.",
            },
        },
        "required": ["text", "number", "count", "mode"],
        "additionalProperties": False,
    }


def test_what_is_not_said_is_taken_to_be_the_worst() -> None:
    def plain(x: int) -> int:
        """Plain."""
        return x

    @tool(name="other-name", reaches_network=False, writes=False)
    def marked(x: int) -> int:
        """Marked."""
        return x

    assert define(plain).reaches_network
    assert define(plain).writes
    definition = define(marked)
    assert definition.is_harmless
    assert definition.name == "other-name"
    assert marked(3) == 3


def no_hint(x) -> str:  # type: ignore[no-untyped-def]
    """Do."""
    return str(x)


def unknown_hint(x: "Nowhere") -> str:  # type: ignore[name-defined]  # noqa: F821
    """Do."""
    return str(x)


def no_docstring(x: int) -> int:
    return x


def only_sections(x: int) -> int:
    """Args:
    x: Something.
    """
    return x


def starred(*x: int) -> int:
    """Do."""
    return x[0]


def keywords(**x: int) -> int:
    """Do."""
    return len(x)


def positional(x: int, /) -> int:
    """Do."""
    return x


def calls(x: Callable[[], int]) -> int:
    """Do."""
    return x()


def imaginary(x: complex) -> complex:
    """Do."""
    return x


def endless(x: Node) -> None:
    """Do."""


@tool(name="has spaces")
def bad_name(x: int) -> int:
    """Do."""
    return x


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (no_hint, "give the parameter x a type hint"),
        (unknown_hint, "mend its type hints"),
        (no_docstring, "write a docstring"),
        (only_sections, "write a docstring"),
        (starred, "named parameters only"),
        (keywords, "named parameters only"),
        (positional, "named parameters only"),
        (calls, "a type that JSON can hold"),
        (imaginary, "a type that JSON can hold"),
        (endless, "a type that JSON can hold"),
        (bad_name, "name it with"),
    ],
)
def test_what_cannot_be_a_tool_says_why(function: Callable[..., object], words: str) -> None:
    with pytest.raises(ToolError, match=words) as raised:
        define(function)
    assert str(raised.value).endswith(".")


def test_identity_changes_with_what_approval_rests_on() -> None:
    one = define(everything)
    changes: list[dict[str, Any]] = [
        {"name": "other"},
        {"description": "Send it away."},
        {"parameters": {**one.parameters, "required": []}},
        {"reaches_network": False},
        {"writes": False},
        {"origin": "user"},
        {"server": "other"},
        {"source_hash": "0"},
    ]
    identities = {msgspec.structs.replace(one, **change).identity for change in changes}
    assert len(identities | {one.identity}) == len(changes) + 1
    assert define(everything).identity == one.identity


def test_text_of_a_definition_is_cleaned() -> None:
    def evil(x: Literal["\x1b[2Ja", "b"] = "b") -> str:
        return x

    evil.__doc__ = "Do\x1b]52;c;eA==\x07 it.\n\nArgs:\n    x: Colour\u202e.\n"
    definition = define(evil)
    assert definition.description == "Do it."
    assert definition.parameters["properties"]["x"]["description"] == "Colour."
    assert definition.parameters["properties"]["x"]["enum"] == ["a", "b"]


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        (None, ""),
        ("", ""),
        ("One.", "One."),
        ("One\n    two.\n\n    Three.", "One two."),
        ("One.\n\n    Args:\n        x: y.", "One."),
        ("One.\n    Returns:\n        x", "One."),
    ],
)
def test_summary(docstring: str | None, expected: str) -> None:
    assert summary(docstring) == expected


def test_parameter_descriptions_end_with_their_section() -> None:
    text = """Do.

    Args:
        *a: One.
        b (dict[str, int], optional): Two
            and: more.

        c: Three.

    Raises:
        d: Not this.
    """
    assert parameter_descriptions(text) == {"a": "One.", "b": "Two and: more.", "c": "Three."}


def test_names() -> None:
    assert is_name("a_B-9")
    assert not any(map(is_name, ("", "a b", "é", "a" * 65, "a\n", "a.b")))


SIMPLE: st.SearchStrategy[Any] = st.sampled_from([int, float, str, bool, None])
TYPES = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        inner.map(lambda t: list[t]),  # type: ignore[valid-type]
        inner.map(lambda t: dict[str, t]),  # type: ignore[valid-type]
        st.lists(st.sampled_from("abcde"), min_size=1, max_size=3, unique=True).map(
            lambda names: Literal[tuple(names)]
        ),
    ),
    max_leaves=4,
)


@settings(max_examples=60)
@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), TYPES, max_size=4), st.data())
def test_every_signature_of_json_types_gives_a_schema_that_its_values_fit(
    hints: dict[str, Any], data: st.DataObject
) -> None:
    namespace: dict[str, Any] = {}
    names = {name: f"p_{name}" for name in hints}
    exec(f"def f({', '.join(names.values())}):\n    'Do.'", namespace)
    function = namespace["f"]
    function.__annotations__ = {names[name]: hint for name, hint in hints.items()}
    definition = define(function)
    jsonschema.Draft202012Validator.check_schema(definition.parameters)
    assert sorted(definition.parameters["required"]) == sorted(names.values())
    value = {names[name]: data.draw(_values(hint)) for name, hint in hints.items()}
    jsonschema.validate(value, definition.parameters)
    assert is_safe(msgspec.json.encode(definition.parameters).decode())


def _values(hint: Any) -> st.SearchStrategy[Any]:
    if hint is float:
        return st.floats(allow_nan=False, allow_infinity=False)
    if hint is None:
        return st.none()
    if get_origin(hint) is list:
        return st.lists(_values(get_args(hint)[0]), max_size=3)
    if get_origin(hint) is dict:
        return st.dictionaries(st.text(), _values(get_args(hint)[1]), max_size=3)
    return st.sampled_from(get_args(hint)) if get_args(hint) else st.from_type(hint)
