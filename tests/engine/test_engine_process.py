"""The real process, through real pipes."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.engine.running_engine import RunningEngine

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
GREEDY = {"temperature": 0, "max_tokens": 8}
ENDLESS = {"temperature": 0, "max_tokens": 1500, "repetition_penalty": 1.5}


@pytest.fixture
def tiny(engine: RunningEngine, tiny_folder: Path) -> RunningEngine:
    """The process with the tiny model in it."""
    loaded = engine.ask("Load", model=str(tiny_folder), precision="fp32")
    assert loaded["type"] == "Loaded", loaded
    return engine


def text_of(events: list[dict[str, Any]]) -> str:
    return "".join(event["text"] for event in events if event["type"] == "Delta")


def test_loading_says_what_is_loaded(tiny: RunningEngine, tiny_folder: Path) -> None:
    info = tiny.ask("Load", model=str(tiny_folder), precision="fp32")["info"]
    assert info["name"] == str(tiny_folder)
    assert info["precision"] == "fp32"
    assert info["context_length"] == 2048
    assert info["num_parameters"] > 1000


def test_the_same_model_again_is_there_at_once(tiny: RunningEngine, tiny_folder: Path) -> None:
    tiny.send("Load", model=str(tiny_folder), precision="fp32")
    assert [event["type"] for event in tiny.rest()] == ["Loaded"]


def test_counting_and_rendering_agree(tiny: RunningEngine) -> None:
    counted = tiny.ask("Count", messages=QUESTION)
    rendered = tiny.ask("Render", messages=QUESTION)
    size = sum(counted["message_tokens"]) + counted["generation_prompt_tokens"]
    assert size == rendered["num_tokens"]
    assert rendered["text"].endswith("<|im_start|>assistant\n")


def test_an_answer(tiny: RunningEngine) -> None:
    tiny.send("Generate", messages=QUESTION, sampling=GREEDY)
    *deltas, last = tiny.rest()
    assert last["type"] == "Generated"
    assert last["finish_reason"] == "length"
    assert last["statistics"]["num_new_tokens"] == 8
    numbers = [event["num_tokens"] for event in deltas]
    assert numbers == sorted(numbers)
    tiny.send("Generate", messages=QUESTION, sampling=GREEDY)
    again = tiny.rest()
    assert text_of(again) == text_of(deltas)
    statistics = again[-1]["statistics"]
    assert statistics["num_cached_tokens"] == statistics["num_prompt_tokens"] - 1


def test_a_stop_string_ends_the_answer_before_it(tiny: RunningEngine) -> None:
    tiny.send("Generate", messages=QUESTION, sampling=GREEDY)
    text = text_of(tiny.rest())
    stop = text[3:5]
    tiny.send("Generate", messages=QUESTION, sampling=GREEDY, stop=[stop])
    events = tiny.rest()
    assert text_of(events) == text[: text.index(stop)]
    assert events[-1]["finish_reason"] == "stop"


def test_cancel_reaches_a_running_answer(tiny: RunningEngine) -> None:
    target = tiny.send("Generate", messages=QUESTION, sampling=ENDLESS)
    tiny.next()
    tiny.send("Cancel", target=target)
    start = time.monotonic()
    last = tiny.rest()[-1]
    assert last["finish_reason"] == "cancelled"
    assert last["statistics"]["num_new_tokens"] < 1500
    assert time.monotonic() - start < 5


def test_settings_reach_a_running_answer(tiny: RunningEngine) -> None:
    target = tiny.send("Generate", messages=QUESTION, sampling=ENDLESS)
    tiny.next()
    tiny.send("SetSampling", target=target, sampling={**ENDLESS, "temperature": float(1)})
    events = tiny.rest()
    applied = [event for event in events if event["type"] == "SamplingApplied"]
    assert [event["sampling"]["temperature"] for event in applied] == [1.0]
    (place,) = (n for n, event in enumerate(events) if event["type"] == "SamplingApplied")
    told = [event["num_tokens"] for event in events[:place] if event["type"] == "Delta"]
    assert applied[0]["num_tokens"] >= max(told, default=1)
    assert events[-1]["type"] == "Generated"


def test_cancel_and_settings_reach_a_waiting_answer(tiny: RunningEngine) -> None:
    first = tiny.send("Generate", messages=QUESTION, sampling=ENDLESS)
    second = tiny.send("Generate", messages=QUESTION, sampling=ENDLESS)
    third = tiny.send("Generate", messages=QUESTION, sampling=ENDLESS)
    tiny.send("SetSampling", target=third, sampling={**GREEDY, "max_tokens": 2})
    tiny.send("Cancel", target=second)
    tiny.send("Cancel", target=first)
    assert tiny.rest()[-1]["finish_reason"] == "cancelled"
    assert [event["type"] for event in tiny.rest()] == ["Generated"]
    events = tiny.rest()
    assert events[0]["type"] == "SamplingApplied"
    assert events[-1]["statistics"]["num_new_tokens"] == 2


def test_unknown_targets_and_bad_lines_are_ignored(tiny: RunningEngine) -> None:
    tiny.send("Cancel", target=10**6)
    tiny.send("SetSampling", target=10**6, sampling=GREEDY)
    tiny.process.stdin.write(b"not json\n")
    tiny.send("Nonsense")
    assert tiny.ask("Count", messages=QUESTION)["type"] == "Counted"


def test_bad_settings_in_mid_answer_change_nothing(tiny: RunningEngine) -> None:
    target = tiny.send("Generate", messages=QUESTION, sampling={**ENDLESS, "max_tokens": 200})
    tiny.next()
    tiny.send("SetSampling", target=target, sampling={"temperature": -1})
    events = tiny.rest()
    assert events[-1]["type"] == "Generated"
    assert all(event["type"] != "SamplingApplied" for event in events)


@pytest.mark.parametrize(
    ("fields", "kind", "words"),
    [
        ({"sampling": {"temperature": -1}}, "SettingError", "Temperature must be"),
        ({"sampling": {"top_p": 7}}, "SettingError", "Top-p must be"),
        ({"sampling": {"seed": -1}}, "SettingError", "Seed must be"),
        ({"sampling": {}, "context_length": 10}, "ContextError", "window holds 10"),
    ],
)
def test_what_cannot_be_done_is_said(
    tiny: RunningEngine, fields: dict[str, Any], kind: str, words: str
) -> None:
    failed = tiny.ask("Generate", messages=QUESTION, **fields)
    assert failed["type"] == "Failed"
    assert failed["kind"] == kind
    assert words in failed["message"]


def test_the_context_window_may_be_shorter(tiny: RunningEngine) -> None:
    size = tiny.ask("Render", messages=QUESTION)["num_tokens"]
    done = tiny.ask("Generate", messages=QUESTION, sampling=ENDLESS, context_length=size + 3)
    assert done["finish_reason"] == "length"
    assert done["statistics"]["num_new_tokens"] == 3


def test_a_reference_that_fails_leaves_the_model_alone(
    tiny: RunningEngine, tiny_folder: Path
) -> None:
    failed = tiny.ask("Load", model="no-such-model")
    assert (failed["type"], failed["kind"]) == ("Failed", "ModelError")
    assert "Traceback" not in failed["message"]
    tiny.send("Load", model=str(tiny_folder), precision="fp32")
    assert [event["type"] for event in tiny.rest()] == ["Loaded"]  # it never went


def test_weights_that_do_not_fit_bring_the_old_model_back(
    tiny: RunningEngine, tiny_folder: Path, tmp_path: Path
) -> None:
    import shutil

    tiny.send("Generate", messages=QUESTION, sampling=GREEDY)
    before = text_of(tiny.rest())
    broken = shutil.copytree(tiny_folder, tmp_path / "broken")
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    failed = tiny.ask("Load", model=str(broken), precision="fp32")
    assert "weights are missing" in failed["message"]
    tiny.send("Generate", messages=QUESTION, sampling=GREEDY)
    assert text_of(tiny.rest()) == before


def test_a_seeded_answer_is_the_same_after_other_answers(
    tiny: RunningEngine, tiny_folder: Path
) -> None:
    assert tiny.ask("Load", model=str(tiny_folder), precision="bf16")["type"] == "Loaded"
    long = [{"role": "user", "content": "What is the capital of France? " * 20}]
    seeded = {"temperature": 1.5, "seed": 7, "max_tokens": 60}

    def answer() -> str:
        tiny.send("Generate", messages=long, sampling=seeded)
        return text_of(tiny.rest())

    cold = answer()
    tiny.ask("Generate", messages=QUESTION, sampling=GREEDY)
    tiny.ask("Generate", messages=long, sampling={"temperature": 1, "max_tokens": 30})
    assert answer() == cold
    assert answer() == cold


@pytest.mark.parametrize("wait_for_start", [False, True])
def test_the_process_ends_with_its_client(
    models_cache: Path, tmp_path: Path, wait_for_start: bool
) -> None:
    """Even while it imports torch, where a line of its own says what it does."""
    process = subprocess.Popen(
        [sys.executable, "-m", "chatbot.engine"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    if wait_for_start:
        process.stdin.write(b'{"type":"Load","id":1,"model":"none"}\n')
        process.stdin.flush()
        first = json.loads(process.stdout.readline())
        assert first == {
            "type": "LoadProgress",
            "request_id": 1,
            "stage": "Starting torch",
            "fraction": None,
        }
    process.stdin.close()
    assert process.wait(timeout=5) == 0
    process.stdout.close()


@pytest.fixture
def smollm2(engine: RunningEngine) -> RunningEngine:
    loaded = engine.ask("Load", model="smollm2-135m")
    assert loaded["type"] == "Loaded", loaded
    return engine


def test_the_built_in_model_knows_paris(smollm2: RunningEngine) -> None:
    smollm2.send("Generate", messages=QUESTION, sampling={"temperature": 0, "max_tokens": 30})
    events = smollm2.rest()
    assert "Paris" in text_of(events)
    assert events[-1]["finish_reason"] == "stop"


def test_the_next_turn_computes_only_what_is_new(smollm2: RunningEngine) -> None:
    smollm2.send("Generate", messages=QUESTION, sampling={"temperature": 0, "max_tokens": 30})
    *_, first = events = smollm2.rest()
    chat = [
        *QUESTION,
        {"role": "assistant", "content": text_of(events)},
        {"role": "user", "content": "And of Italy?"},
    ]
    second = smollm2.ask("Generate", messages=chat, sampling={"temperature": 0, "max_tokens": 4})
    before = first["statistics"]
    cached = second["statistics"]["num_cached_tokens"]
    # All of it but the end token, which was drawn and never read.
    assert cached == before["num_prompt_tokens"] + before["num_new_tokens"] - 1


def test_a_model_is_prepared_without_being_loaded(tiny: RunningEngine, tiny_folder: Path) -> None:
    assert tiny.ask("Prepare", model=str(tiny_folder))["folder"] == str(tiny_folder)
    assert tiny.ask("Prepare", model="no-such-model")["type"] == "Failed"
    assert tiny.ask("Count", messages=QUESTION)["type"] == "Counted"


def test_what_does_not_fit_is_refused_and_the_present_model_stays(
    tiny: RunningEngine, tiny_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "large"
    shutil.copytree(tiny_folder, folder)
    config = json.loads((folder / "config.json").read_text())
    config["max_position_embeddings"] = 2**36  # whose keys and values no machine holds
    (folder / "config.json").write_text(json.dumps(config))
    options = {"model": str(folder), "precision": "fp32", "context_length": 2**36}
    refused = tiny.ask("Load", **options)
    assert refused["kind"] == "ModelFitError"
    assert "GiB" in refused["message"]
    assert "--force" in refused["message"]
    assert tiny.ask("Count", messages=QUESTION)["type"] == "Counted"
