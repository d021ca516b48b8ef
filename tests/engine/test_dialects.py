"""Recorded answers of each family, cut at every position, and what is broken in them."""

import itertools
import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot.engine.dialects.compact import COMPACT
from chatbot.engine.dialects.dialect import Begun, Broken, Called, Dialect, Piece, Text, Thinking
from chatbot.engine.dialects.gemma import FUNCTION_GEMMA, GEMMA4
from chatbot.engine.dialects.harmony import HARMONY
from chatbot.engine.dialects.hermes import HERMES, SMOLLM3
from chatbot.engine.dialects.llama3 import LLAMA3
from chatbot.engine.dialects.mistral import MISTRAL, MISTRAL_LIST
from chatbot.engine.dialects.parser import UNFINISHED, AnswerParser
from chatbot.engine.dialects.qwen_coder import QWEN_CODER
from chatbot.engine.dialects.recognition import recognise
from tests.engine.tool_schemas import TOOLS

CALL = {"name": "weather", "arguments": {"place": "Ome, {Tokyo}", "days": 2}}
TWO = [("weather", CALL["arguments"]), ("now", {})]
JSON_CALL = json.dumps(CALL)

RECORDED: list[tuple[str, Dialect, str, str, str, list[tuple[str, object]]]] = [
    # name, dialect, text, what is thought, what is shown, calls
    ("hermes", HERMES, f"<tool_call>\n{JSON_CALL}\n</tool_call>", "", "", TWO[:1]),
    (
        "hermes, two",
        HERMES,
        f"I look.\n<tool_call>\n{JSON_CALL}\n</tool_call>\n<tool_call>\n"
        '{"name": "now", "arguments": {}}\n</tool_call>',
        "",
        "I look.\n",
        TWO,
    ),
    ("hermes, no mark at the end", HERMES, f"<tool_call>\n{JSON_CALL}", "", "", TWO[:1]),
    (
        "smollm2",
        HERMES,
        f'<tool_call>[{JSON_CALL}, {{"name": "now", "arguments": {{}}}}]</tool_call>',
        "",
        "",
        TWO,
    ),
    (
        "smollm3",
        SMOLLM3,
        "<think>\nPerhaps <tool_call>{}</tool_call>?\n</think>\n\n"
        f"Well <b>then</b>.\n<tool_call>{JSON_CALL}</tool_call>",
        "\nPerhaps <tool_call>{}</tool_call>?\n",
        "Well <b>then</b>.\n",
        TWO[:1],
    ),
    (
        "qwen-coder",
        QWEN_CODER,
        "<tool_call>\n<function=weather>\n<parameter=place>\nOme, {Tokyo}\n</parameter>\n"
        "<parameter=days>\n2\n</parameter>\n</function>\n</tool_call>",
        "",
        "",
        TWO[:1],
    ),
    (
        "llama3",
        LLAMA3,
        '{"name": "weather", "parameters": {"place": "Ome, {Tokyo}", "days": 2}}',
        "",
        "",
        TWO[:1],
    ),
    (
        "llama3, tag and two",
        LLAMA3,
        '<|python_tag|>{"name": "weather", "parameters": {"place": "Ome, {Tokyo}", "days": 2}}; '
        '{"name": "now", "parameters": {}}',
        "",
        "",
        TWO,
    ),
    (
        "mistral, list",
        MISTRAL_LIST,
        f'[TOOL_CALLS][{JSON_CALL}, {{"name": "now", "arguments": {{}}}}]',
        "",
        "",
        TWO,
    ),
    (
        "mistral, names",
        MISTRAL,
        '[THINK]so[/THINK]Look:[TOOL_CALLS]weather[ARGS]{"place": "Ome, {Tokyo}", "days": 2}'
        "[TOOL_CALLS]now[CALL_ID]a1b2c3d4e[ARGS]{}",
        "so",
        "Look:",
        TWO,
    ),
    (
        "gemma",
        FUNCTION_GEMMA,
        "<start_function_call>call:weather{place:<escape>Ome, {Tokyo}<escape>,days:2}"
        "<end_function_call><start_function_call>call:now{}<end_function_call>",
        "",
        "",
        TWO,
    ),
    (
        "gemma 4",
        GEMMA4,
        "<|channel>thought\nhm<channel|>"
        '<|tool_call>call:weather{place:<|"|>Ome, {Tokyo}<|"|>,days:2}<tool_call|>',
        "hm",
        "",
        TWO[:1],
    ),
    (
        "harmony",
        HARMONY,
        "<|channel|>analysis<|message|>Need to=functions.weather.<|end|><|start|>assistant"
        "<|channel|>commentary<|message|>I look.<|end|><|start|>assistant<|channel|>commentary "
        'to=functions.weather <|constrain|>json<|message|>{"place": "Ome, {Tokyo}", "days": 2}'
        "<|call|>",
        "Need to=functions.weather.",
        "I look.",
        TWO[:1],
    ),
    (
        "harmony, recipient first",
        HARMONY,
        " to=functions.now<|channel|>commentary json<|message|>{}<|call|>",
        "",
        "",
        TWO[1:],
    ),
    ("harmony, final", HARMONY, "<|channel|>final<|message|>Hi!<|return|>", "", "Hi!", []),
    (
        "compact",
        COMPACT,
        '{"tool": "weather", "arguments": {"place": "Ome, {Tokyo}", "days": 2}}',
        "",
        "",
        TWO[:1],
    ),
    (
        "compact, text",
        COMPACT,
        'Say {"tool": "now"} or <b>.',
        "",
        'Say {"tool": "now"} or <b>.',
        [],
    ),
]


def read(dialect: Dialect, pieces: Sequence[str], cut: str = "") -> list[Piece]:
    parser = AnswerParser(dialect, TOOLS)
    found = [piece for text in pieces for piece in parser.push(text)]
    return found + parser.finish(cut)


def summary(pieces: Sequence[Piece]) -> tuple[str, str, list[Piece]]:
    """What was thought, what was shown, and everything else."""
    thought = "".join(piece.text for piece in pieces if isinstance(piece, Thinking))
    shown = "".join(piece.text for piece in pieces if isinstance(piece, Text))
    return thought, shown, [p for p in pieces if not isinstance(p, Text | Thinking)]


@pytest.mark.parametrize(
    ("dialect", "text", "thought", "shown", "calls"),
    [pytest.param(*case[1:], id=case[0]) for case in RECORDED],
)
def test_recorded_answers_cut_anywhere(
    dialect: Dialect, text: str, thought: str, shown: str, calls: list[tuple[str, object]]
) -> None:
    whole = summary(read(dialect, [text]))
    assert whole[:2] == (thought, shown)
    called = [piece for piece in whole[2] if isinstance(piece, Called)]
    assert [(piece.name, json.loads(piece.arguments)) for piece in called] == calls
    assert [piece.index for piece in called] == list(range(len(calls)))
    assert [p.name for p in whole[2] if isinstance(p, Begun)] == [name for name, _ in calls]
    for at in range(len(text) + 1):
        assert summary(read(dialect, [text[:at], text[at:]])) == whole, text[:at]
    assert summary(read(dialect, list(text))) == whole


@pytest.mark.parametrize("name", ["hermes, two", "llama3, tag and two", "mistral, list"])
def test_what_was_written_can_be_put_together_again(name: str) -> None:
    _, dialect, text, _, shown, _ = next(case for case in RECORDED if case[0] == name)
    raws = [piece.raw for piece in read(dialect, [text]) if isinstance(piece, Called)]
    assert shown + "".join(raws) == text


def test_nothing_follows_the_last_call() -> None:
    parser = AnswerParser(HERMES, TOOLS)
    parser.push(f"<tool_call>{JSON_CALL}</tool_call>\n\n")
    assert not parser.is_over
    assert parser.push("The weather is") == []
    assert parser.is_over


@pytest.mark.parametrize(
    ("dialect", "text", "reason"),
    [
        (HERMES, '<tool_call>{"name": "now", }</tool_call>', "not valid JSON"),
        (HERMES, "<tool_call>now()</tool_call>", "not valid JSON"),
        (HERMES, '<tool_call>{"arguments": {}}</tool_call>', "names no tool"),
        (HERMES, '<tool_call>{"name": "now", "arguments": 3}</tool_call>', "not an object"),
        (HERMES, '<tool_call>{"name": "now"', UNFINISHED),
        (HERMES, "<tool_call>" + "[" * 20_000, UNFINISHED),
        (MISTRAL, "[TOOL_CALLS]", UNFINISHED),
        (MISTRAL, "[TOOL_CALLS]now[ARGS]{", UNFINISHED),
        (QWEN_CODER, "<tool_call>\n<function=now>\nwhat?</tool_call>", "not in the form"),
        (FUNCTION_GEMMA, "<start_function_call>now()<end_function_call>", "not in the form"),
        (FUNCTION_GEMMA, "<start_function_call>call:now{a:" + "[" * 5000, UNFINISHED),
        (HARMONY, "<|channel|>commentary to=functions.now<|message|>{no}<|call|>", "not valid"),
        (COMPACT, '{"tool": "now", "arguments": {', UNFINISHED),
    ],
    ids=itertools.count(),
)
def test_a_call_that_is_none_is_told_with_what_was_written(
    dialect: Dialect, text: str, reason: str
) -> None:
    broken = [piece for piece in read(dialect, [text]) if isinstance(piece, Broken)]
    assert len(broken) == 1
    assert reason in broken[0].reason
    assert text.endswith(broken[0].raw) or broken[0].raw in text


def test_a_call_cut_off_is_broken_even_if_it_could_be_closed() -> None:
    text = f"<tool_call>{JSON_CALL}"
    *_, last = read(HERMES, [text], "It was cut off.")
    assert last == Broken(0, "weather", text, "It was cut off.")


def test_without_tools_marks_are_text() -> None:
    parser = AnswerParser(HERMES)
    shown = parser.push("<tool_call>{}</tool_call>") + parser.finish()
    assert summary(shown) == ("", "<tool_call>{}</tool_call>", [])


def test_thinking_that_the_prompt_has_opened() -> None:
    parser = AnswerParser(SMOLLM3, TOOLS, is_thinking=True)
    pieces = parser.push("I <tool_call>{}</tool_call> think</think>\n\nYes.") + parser.finish()
    assert summary(pieces) == ("I <tool_call>{}</tool_call> think", "Yes.", [])


@given(
    dialect=st.sampled_from([case[1] for case in RECORDED]),
    parts=st.lists(
        st.sampled_from(
            [
                *sorted({mark for case in RECORDED for mark in case[1].markers}),
                *('{"name": "now"', "{", "}", "[", "]", '"', ":", "a", " ", "\n"),
            ]
        ),
        max_size=20,
    ),
)
def test_no_text_is_an_error_and_cuts_never_matter(dialect: Dialect, parts: list[str]) -> None:
    text = "".join(parts)
    assert summary(read(dialect, parts)) == summary(read(dialect, [text]))


@pytest.mark.parametrize(
    ("template", "name", "thinks"),
    [
        ("{{ tools }} <tool_call> {{ '</think>' }}", "hermes", True),
        ("{{ tools }} <tool_call>", "hermes", False),
        ("{{ xml_tools }} <tool_call> </think>", "smollm3", True),
        ("{{ tools }} <tool_call><function=", "qwen-coder", False),
        ("{{ tools }} ipython <|python_tag|>", "llama3", False),
        ("{{ tools }} [TOOL_CALLS]", "mistral", False),
        ("{{ tools }} [TOOL_CALLS] [ARGS]", "mistral", True),
        ("{{ tools }} <start_function_call>", "gemma", False),
        ("{{ tools }} <|channel|> to=functions.", "harmony", False),
        ("{{ tools }} some other form", "compact", False),
        ("{{ messages }} </think>", "compact", True),
        ("", "compact", False),
    ],
)
def test_dialects_are_known_by_their_templates(template: str, name: str, thinks: bool) -> None:
    dialect = recognise(template)
    assert dialect.name == name
    assert (dialect.think is not None) == thinks
