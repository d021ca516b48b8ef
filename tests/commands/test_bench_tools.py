"""The benchmark of tool calls: its questions, its schemas, and what it counts."""

import importlib.util
import json
from collections import Counter

import pytest

from chatbot.commands.bench_tools import bfcl
from chatbot.commands.bench_tools.__main__ import main
from chatbot.commands.bench_tools.asking import Calls, is_valid
from chatbot.commands.bench_tools.choice import NONE, TOOLS, questions
from chatbot.commands.bench_tools.command import Score

HAS_BFCL = importlib.util.find_spec("bfcl_eval") is not None


def test_one_question_in_five_needs_no_tool() -> None:
    counts = Counter(question.tool for question in questions())
    assert counts == {**{tool.name: 20 for tool in TOOLS}, NONE: 20}
    assert len({question.text for question in questions()}) == 100


def test_calls_are_held_to_their_tools() -> None:
    assert is_valid("calculate", '{"expression": "1"}', TOOLS)
    assert not is_valid("calculate", '{"expression": 1}', TOOLS)
    assert not is_valid("calculate", "{}", TOOLS)
    assert not is_valid("delete", "{}", TOOLS)


def test_a_score_counts_what_was_written() -> None:
    score = Score(set="own", masked=True)
    score.add(Calls(ready=(("a", "{}"),)), is_right=True)
    score.add(Calls(ready=(("a", "{}"), ("b", "{}")), num_broken=1, num_invalid=2), is_right=False)
    assert (score.num_questions, score.num_right, score.num_calls) == (2, 1, 4)
    assert (score.num_broken, score.num_invalid) == (1, 2)


def test_types_of_bfcl_become_those_of_json_schema() -> None:
    own = {
        "type": "dict",
        "properties": {
            "a": {"type": "float", "description": "x", "optional": True},
            "b": {"type": "tuple", "items": {"type": "any"}},
        },
        "required": ["a"],
    }
    assert bfcl.as_schema(own) == {
        "type": "object",
        "properties": {
            "a": {"type": "number", "description": "x"},
            "b": {"type": "array", "items": {}},
        },
        "required": ["a"],
        "additionalProperties": False,
    }


def test_without_the_package_one_sentence_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr("sys.argv", ["bench", "--bfcl-only"])
    assert main() == 1
    assert "pip install --no-deps bfcl-eval==2026.3.23" in capsys.readouterr().err


@pytest.mark.skipif(not HAS_BFCL, reason="the package bfcl-eval is not installed")
def test_the_checker_of_bfcl_decides() -> None:
    (case,) = bfcl.cases("simple_python", 1)
    right = {"base": 10, "height": 5}
    name = case.tools[0].name
    assert bfcl.is_right(case, [(name, json.dumps(right))])
    assert not bfcl.is_right(case, [(name, json.dumps({**right, "base": 11}))])
    assert not bfcl.is_right(case, [])
    (irrelevant,) = bfcl.cases("irrelevance", 1)
    assert bfcl.is_right(irrelevant, [])
    assert not bfcl.is_right(irrelevant, [(name, "{}")])
