"""A loaded model, its answers as events, and how failures are worded."""

import shutil
from pathlib import Path

import pytest
import torch

from chatbot.engine import kv_cache, loading
from chatbot.engine.answer import answer
from chatbot.engine.failures import as_chatbot_error
from chatbot.engine.finding import find_model
from chatbot.engine.inbox import Control
from chatbot.engine.loading import LoadedModel, load
from chatbot.engine.protocol.answer import Delta, Generate, Generated
from chatbot.engine.protocol.messages import ChatMessage
from chatbot.errors import ContextError, ModelError
from chatbot.settings import Sampling

CPU = torch.device("cpu")
QUESTION = (ChatMessage("user", "What is the capital of France?"),)


def quiet(stage: str, fraction: float | None) -> None:
    """Report nothing."""


@pytest.fixture(scope="module")
def loaded(tiny_folder: Path) -> LoadedModel:
    return load(find_model(str(tiny_folder), quiet), "fp32", CPU, quiet)


def run(loaded: LoadedModel, sampling: Sampling) -> list[object]:
    request = Generate(id=3, messages=QUESTION, sampling=sampling)
    return list(answer(loaded, request, Control(sampling)))


def test_events_of_an_answer(loaded: LoadedModel) -> None:
    *deltas, last = run(loaded, Sampling(temperature=0, max_tokens=12))
    assert isinstance(last, Generated)
    assert all(isinstance(event, Delta) and event.request_id == 3 for event in deltas)
    statistics = last.statistics
    assert statistics.num_new_tokens == 12
    assert statistics.num_prompt_tokens == len(loaded.prompts.build(QUESTION).tokens)
    assert statistics.first_token_seconds > 0
    assert statistics.decode_seconds > 0
    assert statistics.decoder == "fused"
    assert statistics.decoder_reason == ""
    assert statistics.cache_bytes > 0


def test_only_a_seed_that_was_set_has_the_answer_before_read_again(loaded: LoadedModel) -> None:
    sampling = Sampling(max_tokens=20, seed=5)
    *deltas, _ = run(loaded, sampling)
    text = "".join(event.text for event in deltas if isinstance(event, Delta))
    messages = (*QUESTION, ChatMessage("assistant", text), ChatMessage("user", "And of Italy?"))
    num_cached = []
    for is_drawn in (True, False):
        run(loaded, sampling)
        request = Generate(messages=messages, sampling=sampling, is_seed_drawn=is_drawn)
        *_, last = answer(loaded, request, Control(sampling))
        assert isinstance(last, Generated)
        num_cached.append(last.statistics.num_cached_tokens)
    size = len(loaded.prompts.build(QUESTION).tokens)
    assert num_cached[0] > size >= num_cached[1]


def test_an_answer_says_why_our_own_step_did_not_compute_it(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kv_cache, "fused_refusal", lambda model: "it is of another build")
    loaded.cached.clear()
    try:
        last = run(loaded, Sampling(temperature=0, max_tokens=3))[-1]
    finally:
        monkeypatch.undo()
        loaded.cached.clear()
    assert isinstance(last, Generated)
    assert last.statistics.decoder == "transformers"
    assert last.statistics.decoder_reason == "it is of another build"
    last = run(loaded, Sampling(temperature=0, max_tokens=3))[-1]
    assert isinstance(last, Generated)
    assert last.statistics.decoder_reason == ""


def test_a_cancelled_answer_has_its_statistics(loaded: LoadedModel) -> None:
    request = Generate(messages=QUESTION, sampling=Sampling())
    control = Control(request.sampling)
    control.is_cancelled = True
    (only,) = answer(loaded, request, control)
    assert isinstance(only, Generated)
    assert only.finish_reason == "cancelled"
    assert only.statistics.num_new_tokens == 0
    assert only.statistics.decode_seconds == 0


def test_a_prompt_that_fills_the_window(loaded: LoadedModel) -> None:
    request = Generate(messages=QUESTION, sampling=Sampling(), context_length=5)
    with pytest.raises(ContextError, match="window holds 5"):
        next(answer(loaded, request, Control(request.sampling)))


def test_a_window_larger_than_the_model_is_the_model_s(loaded: LoadedModel) -> None:
    long = (ChatMessage("user", "é" * 3000),)
    request = Generate(messages=long, sampling=Sampling(), context_length=10**6)
    with pytest.raises(ContextError, match=r"window holds 2,048; shorten it\.$"):
        next(answer(loaded, request, Control(request.sampling)))


def test_without_a_template_the_answer_starts_with_its_first_word(
    tiny_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "plain"))
    (folder / "chat_template.jinja").unlink()
    plain = load(find_model(str(folder), quiet), "fp32", CPU, quiet)
    assert plain.prompts.strips_answer_start
    for seed in range(5):
        events = run(plain, Sampling(temperature=2, top_k=0, top_p=1, max_tokens=20, seed=seed))
        text = "".join(event.text for event in events if isinstance(event, Delta))
        assert text == text.lstrip()


@pytest.mark.parametrize("is_waited_for", [True, False])
def test_what_is_compiled_is_said_where_it_is_waited_for(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, is_waited_for: bool
) -> None:
    monkeypatch.setattr(loading, "is_compiling", lambda: is_waited_for)
    stages: list[str] = []
    load(find_model(str(tiny_folder), quiet), "fp32", CPU, lambda stage, _: stages.append(stage))
    assert (stages[-1] == "Compiling for this processor, once") == is_waited_for


def test_what_a_loaded_model_knows(loaded: LoadedModel) -> None:
    assert loaded.info.context_length == 2048
    assert loaded.info.device == "cpu"
    assert loaded.end_tokens == {0, 2}  # <|endoftext|> and <|im_end|>
    assert loaded.special_tokens >= {0, 1, 2}


@pytest.mark.parametrize("precision", ["bf16", "fp16", "fp32"])
def test_every_precision_answers(tiny_folder: Path, precision: str) -> None:
    model = load(find_model(str(tiny_folder), quiet), precision, CPU, quiet)  # type: ignore[arg-type]
    assert model.info.precision == precision
    assert isinstance(run(model, Sampling(seed=1, max_tokens=5))[-1], Generated)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:75] DefaultCPUAllocator: not enough memory"),
        OSError(12, "Cannot allocate memory"),
        RuntimeError("unable to mmap 269 bytes from file <x>: Cannot allocate memory (12)"),
    ],
)
def test_memory_that_runs_out_names_what_helps(
    error: Exception, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(loading, "_load_weights", fail)
    with pytest.raises(ModelError, match="smaller"):
        load(find_model(str(tiny_folder), quiet), "fp32", CPU, quiet)


def test_any_other_error_becomes_one_sentence() -> None:
    error = RuntimeError("shape mismatch\n  at line 3. And a second sentence.\nAnd more")
    assert str(as_chatbot_error(error, "answering")) == (
        "An error occurred while answering: shape mismatch at line 3. And a second sentence."
    )
    assert str(as_chatbot_error(KeyError(), "answering")).endswith("KeyError.")
