"""Switching precision again and again: memory comes back, and the estimate is near it."""

from pathlib import Path

import psutil
import pytest

from chatbot.models.catalogue import catalogue
from chatbot.models.memory import cache_bytes, memory_need, weight_bytes
from tests.engine.running_engine import RunningEngine

NAME = "smollm2-135m"
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
SAMPLING = {"temperature": 0, "max_tokens": 4}
SHAPE = catalogue()[NAME].shape


@pytest.fixture
def own_engine(models_cache: Path, tmp_path: Path) -> RunningEngine:
    running = RunningEngine({"CHATBOT_CACHE_DIR": str(models_cache)}, tmp_path / "engine.log")
    yield running
    running.end()


def resident(engine: RunningEngine) -> int:
    """Bytes that the process holds in memory, files that are only mapped left out."""
    memory = psutil.Process(engine.process.pid).memory_info()
    return int(memory.rss - memory.shared)


def load(engine: RunningEngine, precision: str) -> dict[str, object]:
    loaded = engine.ask("Load", model=NAME, precision=precision)
    assert loaded["type"] == "Loaded", loaded
    return dict(loaded["info"])


def first_token(engine: RunningEngine) -> str:
    engine.send("Generate", messages=QUESTION, sampling=SAMPLING)
    events = engine.rest()
    assert events[-1]["type"] == "Generated", events[-1]
    return "".join(event["text"] for event in events if event["type"] == "Delta")


@pytest.mark.slow
def test_ten_switches_leave_no_memory_behind(own_engine: RunningEngine) -> None:
    load(own_engine, "fp32")
    answer = first_token(own_engine)
    load(own_engine, "bf16")
    first_token(own_engine)
    load(own_engine, "fp32")
    first_token(own_engine)
    before = resident(own_engine)
    sizes = []
    for _ in range(10):
        load(own_engine, "bf16")
        assert first_token(own_engine)
        load(own_engine, "fp32")
        assert first_token(own_engine) == answer
        sizes.append(resident(own_engine))
    assert max(sizes) <= 1.05 * before, (before, sizes)


@pytest.mark.slow
def test_the_estimate_is_near_what_is_measured(own_engine: RunningEngine) -> None:
    """Tensors are held against weights, and the whole process against the whole estimate."""
    for precision in ("bf16", "fp32"):
        info = load(own_engine, precision)
        assert info["weight_bytes"] == pytest.approx(weight_bytes(SHAPE, precision), rel=0.01)
        own_engine.send(
            "Generate",
            messages=[{"role": "user", "content": "word " * 1000}],
            sampling={"temperature": 0, "max_tokens": 2},
        )
        last = own_engine.rest()[-1]
        num_tokens = last["statistics"]["num_prompt_tokens"]
        need = memory_need(SHAPE, precision, num_tokens)
        assert need.cache == cache_bytes(SHAPE, precision, num_tokens)
        # Weights in bf16 are mapped from their file: they count as shared, and as resident.
        whole = psutil.Process(own_engine.process.pid).memory_info().rss
        assert whole == pytest.approx(need.total, rel=0.10), precision
