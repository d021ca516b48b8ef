import json
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatbot.errors import ToolError
from chatbot.terminal_text import is_safe
from chatbot.tools.definitions import define
from chatbot.tools.json_text import canonical, in_lines, read_object, visible
from chatbot.tools.validation import checked_arguments
from chatbot.tools.values import ToolDefinition


def sample(
    count: int,
    text: str = "",
    ratio: float = 0,
    is_loud: bool = False,
    mode: Literal["fast", "Slow"] = "fast",
    names: list[str] | None = None,
) -> None:
    """Do."""


SAMPLE = define(sample)


@pytest.mark.parametrize(
    ("given_arguments", "checked"),
    [
        ({"count": 3}, {"count": 3}),
        ({"count": "3"}, {"count": 3}),
        ({"count": " -3 "}, {"count": -3}),
        ({"count": 3.0}, {"count": 3}),
        ({"count": 3, "ratio": "2.5"}, {"count": 3, "ratio": 2.5}),
        ({"count": 3, "ratio": 2}, {"count": 3, "ratio": 2}),
        ({"count": 3, "is_loud": "True"}, {"count": 3, "is_loud": True}),
        ({"count": 3, "text": 5}, {"count": 3, "text": "5"}),
        ({"count": 3, "mode": "FAST"}, {"count": 3, "mode": "fast"}),
        ({"count": 3, "mode": " slow"}, {"count": 3, "mode": "Slow"}),
        ({"count": 3, "text": None}, {"count": 3}),
        ({"count": 3, "names": None}, {"count": 3, "names": None}),
        ({"count": 3, "names": ["a"]}, {"count": 3, "names": ["a"]}),
    ],
)
def test_fitting_arguments_and_harmless_slips(
    given_arguments: dict[str, Any], checked: dict[str, Any]
) -> None:
    result = checked_arguments(SAMPLE, given_arguments)
    assert result == checked
    assert [type(value) for value in result.values()] == [type(v) for v in checked.values()]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            {},
            "sample needs the argument count; its arguments are: "
            "count, text, ratio, is_loud, mode, names.",
        ),
        (
            {"count": 1, "evil\nname": 2},
            "sample has no argument evil name; its arguments are: "
            "count, text, ratio, is_loud, mode, names.",
        ),
        ({"count": "three"}, "The argument count of sample must be of the type integer."),
        ({"count": "٣"}, "The argument count of sample must be of the type integer."),
        ({"count": 2.5}, "The argument count of sample must be of the type integer."),
        ({"count": True}, "The argument count of sample must be of the type integer."),
        ({"count": None}, "The argument count of sample must be of the type integer."),
        ({"count": [1]}, "The argument count of sample must be of the type integer."),
        ({"count": 1, "mode": "x"}, "The argument mode of sample must be one of: Slow, fast."),
        ({"count": 1, "text": {}}, "The argument text of sample must be of the type string."),
        ({"count": 1, "ratio": "much"}, "The argument ratio of sample must be of the type number."),
        ({"count": 1, "names": [1]}, "The argument names.0 of sample must be of the type string."),
    ],
)
def test_what_does_not_fit_is_told_in_one_sentence(
    arguments: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ToolError) as raised:
        checked_arguments(SAMPLE, arguments)
    assert str(raised.value) == sentence


@pytest.mark.parametrize(
    ("parameters", "value"),
    [
        ({"type": "object", "properties": {"x": {"$ref": "https://example.org/schema.json"}}}, 5),
        ({"type": "object", "properties": {"x": {}}, "allOf": [{"$ref": "#"}]}, 5),
        ({"type": "object", "properties": {"x": {"type": "nonsense"}}}, 5),
        ({"type": "object", "properties": {"x": {"minimum": "a"}}}, 5),
        ({"type": "object", "properties": {"x": {"pattern": "("}}}, "text"),
    ],
)
def test_a_broken_schema_is_an_error_and_not_a_crash(
    parameters: dict[str, Any], value: Any
) -> None:
    definition = ToolDefinition(name="odd", description="Odd.", parameters=parameters)
    with pytest.raises(ToolError, match="description is broken"):
        checked_arguments(definition, {"x": value})


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=100)
@given(st.dictionaries(st.sampled_from(["count", "text", "ratio", "mode", "names", "x"]), JSON))
def test_whatever_passes_fits_the_signature(arguments: dict[str, Any]) -> None:
    checked = _checked_or_error(arguments)
    if isinstance(checked, str):
        assert checked.endswith((".", "…"))
        assert is_safe(checked)
        return
    assert isinstance(checked["count"], int)
    assert isinstance(checked.get("text", ""), str)
    assert isinstance(checked.get("ratio", 0), int | float)
    assert checked.get("mode", "fast") in ("fast", "Slow")


def _checked_or_error(arguments: dict[str, Any]) -> dict[str, Any] | str:
    try:
        return checked_arguments(SAMPLE, arguments)
    except ToolError as error:
        return str(error)


@pytest.mark.parametrize(
    "text",
    ["[1]", "3", "nonsense", '{"a": NaN}', '{"a": 1', '{"a": Infinity}', "{'a': 1}", "[" * 100_000],
    ids=range(8),
)
def test_arguments_must_be_one_json_object(text: str) -> None:
    with pytest.raises(ToolError, match="one JSON object"):
        read_object(text)


def test_arguments_nested_too_deeply_are_refused() -> None:
    with pytest.raises(ToolError, match="at most 32 deep"):
        read_object('{"a": ' + "[" * 40 + "]" * 40 + "}")


@pytest.mark.parametrize("number", ["1e999", "-1e999", "9" * 400 + ".0"])
def test_numbers_that_would_become_infinite_are_refused(number: str) -> None:
    with pytest.raises(ToolError, match="at most 1e308"):
        read_object(f'{{"x": [{number}]}}')
    assert read_object('{"x": -1.5e308}') == {"x": -1.5e308}


def test_arguments_are_cleaned_before_anything_else() -> None:
    assert read_object("") == {}
    text = json.dumps({"a\x1b[2J": ["x\x1b]52;c;eA==\x07y", {"b\u202e": "c\x00"}]})
    assert read_object(text) == {"a": ["xy", {"b": "c"}]}


def test_what_the_user_is_shown_hides_nothing() -> None:
    value = {"to": "me@example.org\u200b", "name": "Zoë 日本", "gap": "a\u00a0b", "pile": "💥"}
    shown = visible(value)
    assert "me@example.org\\u200b" in shown
    assert "Zoë 日本" in shown
    assert "a\\u00a0b" in shown
    assert json.loads(shown) == value


@pytest.mark.parametrize(
    "unseen", ["\ufe01", "\U000e0101", "\u034f", "\u3164", "\u115f", "\uffa0", "\u2800", "\u17b4"]
)
def test_what_is_printable_and_yet_not_seen_is_spelt_out(unseen: str) -> None:
    shown = visible({"to": f"me{unseen}"})
    assert unseen not in shown
    assert json.loads(shown) == {"to": f"me{unseen}"}


def test_a_text_of_several_lines_is_shown_on_them() -> None:
    value = {"path": "a\\nb", "text": 'one\n"path": "c"\n\nend\n'}
    assert in_lines(visible(value)) == (
        '{\n  "path": "a\\\\nb",\n  "text": "one\\n\n'
        '    ┊ \\"path\\": \\"c\\"\\n\n    ┊ \\n\n    ┊ end\\n"\n}'
    )


@given(JSON)
def test_lines_take_nothing_from_json_and_add_nothing(value: Any) -> None:
    shown = visible({"x": value})
    assert in_lines(shown).replace("\n    ┊ ", "") == shown


@given(JSON)
def test_visible_json_is_the_same_json(value: Any) -> None:
    shown = visible({"x": value})
    assert canonical(json.loads(shown)) == canonical({"x": value})
    assert all(c.isprintable() or c == "\n" for c in shown)
