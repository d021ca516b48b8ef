"""Several sequences on a cache that does not move, against the model's own forward on each."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from transformers import AutoModelForCausalLM

from chatbot.engine.decode.batch import Batch
from chatbot.engine.decode.decoder import Interrupted
from chatbot.engine.decode.gpu.graphed_steps import NUM_EAGER
from chatbot.engine.decode.gpu.static_batch import StaticBatch
from chatbot.engine.finding import find_model
from chatbot.engine.inbox import Control
from chatbot.engine.kv_cache import CachedModel
from chatbot.engine.loading import LoadedModel, load
from chatbot.engine.protocol.messages import ChatMessage
from chatbot.engine.protocol.variants import BeamsMoved, GenerateVariants, SearchBeams, VariantDelta
from chatbot.engine.variants.answers import answer_variants
from chatbot.engine.variants.beams import search_beams
from chatbot.settings import Sampling
from tests.engine.captures import Replaying
from tests.engine.test_pipeline import OnDevice
from tests.engine.test_static_decoder import FAMILIES
from tests.engine.tiny_models import make_llama

QUESTION = (ChatMessage("user", "What is the capital of France?"),)
HOT = Sampling(temperature=1.2, top_k=0, top_p=1, max_tokens=24)
PROMPT = [(7 * n) % 390 + 3 for n in range(250)]

ORDERS: list[list[int] | None] = [
    None,
    None,
    [0, 2, 3],  # one is dropped
    [2, 0, 0],  # and its place taken
    [1, 2],
    [1, 1, 0, 0],
    None,
    None,  # the end of the first length
    [3, 2, 1, 0],
    *[None] * 4,
    [2],
    None,
]


def check_rows(
    model: Any,
    cached: CachedModel,
    batch: Batch,
    *,
    prompt: Sequence[int] = PROMPT,
    tolerance: float = 2e-4,
) -> None:
    """Read tokens in rows that are dropped, doubled and put in another order."""
    device = cached.device
    rows = [list(prompt) for _ in range(4)]
    for n, order in enumerate(ORDERS):
        if order is not None:
            batch.select(order)
            rows = [list(rows[index]) for index in order]
        tokens = [(17 * n + 5 * index) % 390 for index in range(len(rows))]
        found = batch.read(tokens, lambda: False)
        assert batch.num_rows == len(rows) == len(found)
        for row, token in zip(rows, tokens, strict=True):
            row.append(token)
        with torch.inference_mode():
            expected = model(torch.tensor(rows, device=device)).logits[:, -1]
        torch.testing.assert_close(found, expected, atol=tolerance, rtol=1e-3)
    # What they began with is as it was.
    with torch.inference_mode():
        expected = model(torch.tensor([[*prompt, 5]], device=device)).logits[0, -1]
    torch.testing.assert_close(cached.read([5]), expected, atol=tolerance, rtol=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_are_those_of_the_model(family: str) -> None:
    torch.manual_seed(0)
    model = FAMILIES[family]().eval()
    cached = OnDevice(model)
    cached.read(PROMPT)
    batch = cached.branch(4)
    assert isinstance(batch, StaticBatch)
    check_rows(model, cached, batch)
    assert isinstance(cached.capture, Replaying)
    assert cached.capture.num_captured == 2  # of 256 and 384 tokens
    assert cached.capture.num_replayed == len(ORDERS) - 2 * NUM_EAGER


def test_what_was_returned_stays_when_the_next_step_has_run() -> None:
    cached = OnDevice(make_llama())
    cached.read(PROMPT[:20])
    batch = cached.branch(2)
    kept, copies = [], []
    for n in range(6):
        kept.append(batch.read([n + 5, n + 9], lambda: False))
        copies.append(kept[-1].clone())
    assert all(torch.equal(one, other) for one, other in zip(kept, copies, strict=True))


def test_a_step_that_is_not_captured_is_broken_off() -> None:
    cached = OnDevice(make_llama())
    cached.read(PROMPT[:20])
    with pytest.raises(Interrupted):
        cached.branch(2).read([5, 6], lambda: True)
    assert cached.read([5]).isfinite().all()


@pytest.fixture(scope="module")
def loaded(tiny_folder: Path) -> LoadedModel:
    found = find_model(str(tiny_folder), lambda *_: None)
    loaded = load(found, "fp32", torch.device("cpu"), lambda *_: None)
    # Its layers as they are on a GPU: a capture does not see what kernels of our own compute.
    model = AutoModelForCausalLM.from_pretrained(tiny_folder).eval()
    return msgspec.structs.replace(loaded, model=model)


MAKERS = (OnDevice, CachedModel)
"""As on a GPU, and as on a CPU, where the batch is another one."""


def test_variants_are_those_of_the_other_batch(loaded: LoadedModel) -> None:
    samplings = tuple(msgspec.structs.replace(HOT, seed=seed) for seed in (1, 2, 2, 4))
    request = GenerateVariants(messages=QUESTION, samplings=samplings)
    found = []
    for make in MAKERS:
        own = msgspec.structs.replace(loaded, cached=make(loaded.model))
        events = answer_variants(own, request, Control(HOT))
        found.append([event for event in events if isinstance(event, VariantDelta)])
    assert found[0] == found[1]
    assert len(found[0]) > 40


def test_beams_are_those_of_the_other_batch(loaded: LoadedModel) -> None:
    request = SearchBeams(messages=QUESTION, sampling=HOT, num_beams=3)
    found = []
    for make in MAKERS:
        own = msgspec.structs.replace(loaded, cached=make(loaded.model))
        moves = [e for e in search_beams(own, request, Control(HOT)) if isinstance(e, BeamsMoved)]
        found.append([[(beam.text, beam.parent) for beam in move.live] for move in moves])
    assert found[0] == found[1]
    # Beams did change their places.
    assert any(beams[n][1] != n for beams in found[0] for n in range(len(beams)))


@pytest.mark.gpu
def test_rows_of_real_graphs_are_those_of_the_model() -> None:
    model = make_llama().to("cuda")
    cached = CachedModel(model)
    cached.read(PROMPT)
    batch = cached.branch(4)
    assert isinstance(batch, StaticBatch)
    check_rows(model, cached, batch, tolerance=1e-3)
    assert batch._graphs.has_captured
