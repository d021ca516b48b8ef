"""Several answers at once by the real process, through real pipes."""

from pathlib import Path
from typing import Any

import pytest

from tests.engine.running_engine import RunningEngine

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
GREEDY = {"temperature": 0, "max_tokens": 16}
HOT = {"temperature": 0.9, "max_tokens": 16, "seed": 4}
ENDLESS = {"temperature": 1, "top_p": 1, "top_k": 0, "max_tokens": 1500, "seed": 1}


@pytest.fixture
def tiny(engine: RunningEngine, tiny_folder: Path) -> RunningEngine:
    """The process with the tiny model in it."""
    loaded = engine.ask("Load", model=str(tiny_folder), precision="fp32")
    assert loaded["type"] == "Loaded", loaded
    return engine


def text_of(events: list[dict[str, Any]], variant: int | None = None) -> str:
    kind = "Delta" if variant is None else "VariantDelta"
    return "".join(e["text"] for e in events if e["type"] == kind and e.get("variant") == variant)


def ends_of(events: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    return {event["variant"]: event for event in events if event["type"] == "VariantDone"}


def test_cancel_reaches_all_answers(tiny: RunningEngine) -> None:
    target = tiny.send("GenerateVariants", messages=QUESTION, samplings=[ENDLESS] * 2)
    events = [tiny.next()]
    tiny.send("Cancel", target=target)
    events += tiny.rest()
    assert events[-1]["type"] == "VariantsGenerated"
    ended = ends_of(events)
    assert {end["finish_reason"] for end in ended.values()} <= {"cancelled", "stop"}
    assert all(end["statistics"]["num_new_tokens"] < 1500 for end in ended.values())


def test_cancel_reaches_a_search_that_waits(tiny: RunningEngine) -> None:
    first = tiny.send("GenerateVariants", messages=QUESTION, samplings=[ENDLESS] * 2)
    second = tiny.send("SearchBeams", messages=QUESTION, sampling=ENDLESS, num_beams=3)
    tiny.send("Cancel", target=second)
    tiny.send("Cancel", target=first)
    tiny.rest()
    events = tiny.rest()
    assert [e["type"] for e in events] == [*["VariantDone"] * 3, "VariantsGenerated"]
    assert {end["finish_reason"] for end in ends_of(events).values()} == {"cancelled"}


def until_type(running: RunningEngine, kind: str) -> list[dict[str, Any]]:
    """What comes up to the first event of this kind."""
    events = [running.next()]
    while events[-1]["type"] != kind:
        events.append(running.next())
    return events


def test_hold_and_settings_overtake(tiny: RunningEngine) -> None:
    target = tiny.send("GenerateVariants", messages=QUESTION, samplings=[ENDLESS, HOT])
    tiny.send("Hold", target=target)
    held = until_type(tiny, "VariantsHeld")[-1]
    tiny.send("SetSamplings", target=target, samplings=[GREEDY])  # one too few: not taken
    tiny.send("SetSamplings", target=target, samplings=[{**ENDLESS, "temperature": -1}, HOT])
    longest = held["num_tokens"] + 4
    tiny.send("SetSamplings", target=target, samplings=[{**GREEDY, "max_tokens": longest}, HOT])
    tiny.send("Hold", target=target, num_steps=1)
    events = until_type(tiny, "VariantsHeld")
    assert events[-1]["num_tokens"] == held["num_tokens"] + 1
    applied = [e for e in events if e["type"] == "VariantSamplingApplied"]
    assert [(e["variant"], e["sampling"]["max_tokens"]) for e in applied] == [(0, longest)]
    tiny.send("Hold", target=target, num_steps=None)
    assert ends_of(tiny.rest())[0]["statistics"]["num_new_tokens"] <= longest


@pytest.mark.parametrize(
    ("kind", "fields", "complaint"),
    [
        ("GenerateVariants", {"samplings": []}, "From 1 to 16"),
        ("GenerateVariants", {"samplings": [HOT] * 17}, "From 1 to 16"),
        ("GenerateVariants", {"samplings": [HOT, {"temperature": -1}]}, "Temperature must be"),
        ("GenerateVariants", {"samplings": [HOT], "schema": "{"}, "not valid JSON"),
        ("SearchBeams", {"sampling": HOT, "num_beams": 0}, "From 1 to 16"),
        ("SearchBeams", {"sampling": HOT, "num_beams": 2, "context_length": 4}, "window holds 4"),
    ],
)
def test_what_cannot_be_done_is_said(
    tiny: RunningEngine, kind: str, fields: dict[str, Any], complaint: str
) -> None:
    failed = tiny.ask(kind, messages=QUESTION, **fields)
    assert failed["type"] == "Failed"
    assert complaint in failed["message"]


def test_each_answer_is_held_to_a_schema(tiny: RunningEngine) -> None:
    schema = '{"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}'
    tiny.send(
        "GenerateVariants",
        messages=QUESTION,
        samplings=[{**ENDLESS, "seed": n, "max_tokens": 80} for n in range(3)],
        schema=schema,
    )
    events = tiny.rest()
    assert all(text_of(events, n).lstrip().startswith("{") for n in range(3))


def test_the_built_in_model_in_a_batch_says_what_it_says_alone(engine: RunningEngine) -> None:
    loaded = engine.ask("Load", model="smollm2-135m", precision="fp32")
    assert loaded["type"] == "Loaded", loaded
    alone = []
    for sampling in (GREEDY, HOT):
        engine.send("Generate", messages=QUESTION, sampling=sampling)
        alone.append(text_of(engine.rest()))
    engine.send("GenerateVariants", messages=QUESTION, samplings=[GREEDY, HOT, HOT])
    events = engine.rest()
    assert [text_of(events, n) for n in range(3)] == [*alone, alone[1]]
    assert "Paris" in alone[0]
    last = events[-1]
    assert last["num_prompt_tokens"] > last["num_read_tokens"] == 17  # the least that is exact
    engine.send("SearchBeams", messages=QUESTION, sampling=GREEDY, num_beams=3)
    events = engine.rest()
    assert "Paris" in text_of(events, 0)
    scores = [ends_of(events)[n]["score"] for n in range(3)]
    assert scores == sorted(scores, reverse=True)
