"""How far a prompt is read, as it is measured and told."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from chatbot.engine import prompt_meter
from chatbot.engine.answer import answer
from chatbot.engine.finding import find_model
from chatbot.engine.inbox import Control
from chatbot.engine.loading import LoadedModel, load
from chatbot.engine.prompt_meter import PromptMeter
from chatbot.engine.protocol.answer import Generate
from chatbot.engine.protocol.messages import ChatMessage
from chatbot.engine.protocol.variants import GenerateVariants, SearchBeams
from chatbot.engine.variants.answers import answer_variants
from chatbot.engine.variants.beams import search_beams
from chatbot.settings import Sampling
from chatbot.tokens import ReadingProgress

LONG = (ChatMessage("user", "What is the capital of France? " * 60),)
GREEDY = Sampling(temperature=0, max_tokens=2)


class Clock:
    """Time that passes when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr("time.perf_counter", lambda: self.now)


@pytest.fixture
def loaded(tiny_folder: Path) -> LoadedModel:
    def quiet(stage: str, fraction: float | None) -> None:
        """Report nothing."""

    device = torch.device("cpu")
    return load(find_model(str(tiny_folder), quiet), "fp32", device, quiet)


def test_it_is_told_from_two_seconds_on(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    told: list[ReadingProgress] = []
    meter = PromptMeter(1000, 200, 10, told.append)
    for _ in range(4):
        meter.begin_portion(200)
        for _ in range(10):
            meter.begin_layer()
            clock.now += 0.09
    # 20 layers take 1.8 s; the one that begins after two seconds is the fourth of a portion.
    first = told[0]
    assert (first.num_tokens, first.num_cached_tokens) == (1000, 200)
    assert first.num_read_tokens == 200 + 2 * 200 + 3 * 20
    assert first.seconds == pytest.approx(23 * 0.09)
    assert first.seconds_left == pytest.approx(first.seconds * 340 / 460)
    # From there on not more often than ten times a second.
    gaps = [b.seconds - a.seconds for a, b in pairwise(told)]
    assert min(gaps) >= 0.1
    sizes = [progress.num_read_tokens for progress in told]
    assert sizes == sorted(sizes)
    assert sizes[-1] < 1000


def test_a_model_with_more_layers_than_it_says_does_not_read_more_than_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    told: list[ReadingProgress] = []
    meter = PromptMeter(100, 0, 2, told.append)
    meter.begin_portion(100)
    for _ in range(9):
        clock.now += 3
        meter.begin_layer()
    assert [progress.num_read_tokens for progress in told] == [0, 50, *[100] * 7]
    assert told[0].seconds_left is None
    assert told[-1].seconds_left == 0


@pytest.mark.parametrize("kind", ["answer", "variants", "beams"])
def test_each_way_to_answer_tells_of_the_whole_prompt(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(prompt_meter, "TELL_FROM", 0.0)
    monkeypatch.setattr(prompt_meter, "MIN_SECONDS", 0.0)
    told: list[ReadingProgress] = []
    control = Control(GREEDY)
    events: Any
    if kind == "answer":
        events = answer(loaded, Generate(messages=LONG, sampling=GREEDY), control, told.append)
    elif kind == "variants":
        several = GenerateVariants(messages=LONG, samplings=(GREEDY, GREEDY))
        events = answer_variants(loaded, several, control, told.append)
    else:
        search = SearchBeams(messages=LONG, sampling=GREEDY, num_beams=2)
        events = search_beams(loaded, search, control, told.append)
    num_layers = loaded.cached.num_layers
    assert num_layers > 1
    num_told = 0
    for _ in events:  # all of it is told before the first event, and nothing later
        num_told = num_told or len(told)
    size = told[0].num_tokens
    num_portions = -(-size // loaded.cached.block_size)
    assert num_portions > 1
    assert len(told) == num_told == num_portions * num_layers
    sizes = [progress.num_read_tokens for progress in told]
    assert sizes == sorted(set(sizes))
    assert sizes[0] == 0
    assert size - loaded.cached.block_size < sizes[-1] < size
