"""The measurements themselves, on a model that is loaded."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from typing import Any, Final

import torch
from torch import nn

from chatbot.engine.benchmark.report import FirstToken
from chatbot.engine.benchmark.rivals import LlamaCpp
from chatbot.engine.decode.architecture import EXPERTS
from chatbot.engine.decode.cpu.packed_experts import PackedExperts
from chatbot.engine.decode.cpu.packing import PackedLinear, packed_bytes, packed_tensors
from chatbot.engine.devices import scales_4bit
from chatbot.engine.inbox import Control
from chatbot.engine.kv_cache import CachedModel
from chatbot.engine.quantised_experts import ExpertWeights
from chatbot.engine.token_loop import write_tokens
from chatbot.settings import Sampling

COPIED_BYTES: Final = 512 * 2**20
"""Of a copy: far more than any processor's cache."""

NUM_TIMINGS: Final = 7
COPIES_ON_GPU: Final = 16
"""In one timing there: to launch one and to wait for it takes a part of the time of a copy."""

QUESTION_TOKENS: Final = 32
"""A short question after the history."""

UNTIMED_ON_GPU: Final = 2
"""Readings before a cold one is timed there: the first may end in a capture, which gives back the
memory that the next one then allocates anew."""

GREEDY: Final = Sampling(temperature=0, max_tokens=131_072)


def copy_bandwidth(device: torch.device, num_copies: int = 1) -> float:
    """Bytes a second that a large copy reads and writes.

    Args:
        device: in whose memory.
        num_copies: one after the other in one timing; see ``COPIES_ON_GPU``.
    """
    source = torch.ones(COPIED_BYTES // 4, dtype=torch.float32, device=device)
    target = torch.zeros_like(source)

    def copy() -> None:
        for _ in range(num_copies):
            target.copy_(source)

    seconds = [timed(copy, device) for _ in range(NUM_TIMINGS)]
    return 2 * source.nbytes * num_copies / median(seconds)


def timed(action: Callable[[], Any], device: torch.device) -> float:
    """Seconds that ``action`` takes, with what it started on the device."""
    synchronise(device)
    start = time.perf_counter()
    action()
    synchronise(device)
    return time.perf_counter() - start


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def weight_bytes(model: Any) -> int:
    """Memory of all weights and of their scales; what is shared counts once."""
    scales = (tensor for parameter in model.parameters() for tensor in scales_4bit(parameter))
    storages: dict[int, int] = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for tensor in (*model.parameters(), *scales, *packed_tensors(model))
    }
    return sum(storages.values())


def step_bytes(model: Any) -> int:
    """Weights that are read for one token, with their scales: all but the embedding, unless that
    is the head, and of experts those that it has."""
    layers: list[int] = [
        tensor.nbytes
        for layer in model.modules()
        if not isinstance(layer, nn.Embedding | PackedLinear)
        and isinstance(getattr(layer, "weight", None), nn.Parameter)
        for tensor in (layer.weight, *scales_4bit(layer.weight))
    ]
    return sum(layers) + packed_bytes(model) + _bytes_of_experts(model)


def _bytes_of_experts(model: Any) -> int:
    """Of those that a token has, less what ``packed_bytes`` counts of all of them."""
    num_chosen = getattr(model.config.get_text_config(), "num_experts_per_tok", 0)
    total = 0
    for module in model.modules():
        size = 0
        if isinstance(module, PackedExperts):
            size = sum(part.num_bytes for part in module.projections)
            total -= size
        elif hasattr(module, "num_experts"):
            kept = [getattr(module, name, None) for name in EXPERTS]
            size = sum(each.nbytes for each in kept if isinstance(each, nn.Parameter))
            size += sum(each.num_bytes for each in kept if isinstance(each, ExpertWeights))
        total += size and size * num_chosen // module.num_experts
    return total


def decode_speed(cached: CachedModel, prompt: Sequence[int], num_tokens: int) -> float:
    """Tokens a second of a greedy answer after its first token, with nothing guessed ahead."""
    # Not cleared, since what is captured as graphs would be captured again.
    cached.take_back(cached.num_tokens)
    loop = write_tokens(
        cached,
        prompt,
        Control(GREEDY),
        sampling=GREEDY,
        context_length=len(prompt) + num_tokens,
        end_tokens=(),
        looks_up=False,
    )
    next(loop)
    start = time.perf_counter()
    num_rest = sum(1 for _ in loop)
    return num_rest / (time.perf_counter() - start)


class _Arrivals:
    """When the tokens of ``generate`` came; the first call is the prompt."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def put(self, _tokens: Any) -> None:
        self.times.append(time.perf_counter())

    def end(self) -> None:
        """Called when the answer is over."""


def generate_speed(model: Any, prompt: Sequence[int], num_tokens: int) -> float:
    """Tokens a second of ``model.generate()`` after its first token, greedy."""
    arrivals = _Arrivals()
    _generate(model, prompt, num_tokens, arrivals)
    first, last = arrivals.times[1], arrivals.times[-1]
    return (len(arrivals.times) - 2) / (last - first)


def _generate(
    model: Any, prompt: Sequence[int], num_tokens: int, streamer: _Arrivals | None = None
) -> None:
    ids = torch.tensor([list(prompt)], device=model.device)
    model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=num_tokens,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
        streamer=streamer,
    )


def first_token(
    cached: CachedModel,
    vocab_size: int,
    num_history: int,
    plain: Any = None,
    rival: LlamaCpp | None = None,
    *,
    num_untimed: int = 0,
) -> FirstToken:
    """Time to the first token after a history of ``num_history`` tokens.

    Cold means that nothing is in the cache, not that a library is called for the first time. On a
    GPU the first prompt of its length waits for kernels to be loaded and memory to be allocated,
    which may take longer than to read it. So there it is read before, untimed, by ours and by
    ``generate()``. A CPU has little of that, and each reading takes it as long as the measurement.

    Args:
        cached: ours.
        vocab_size: of the model.
        num_history: tokens.
        plain: a model whose ``generate()`` is measured too.
        rival: measured too.
        num_untimed: readings before a cold one is timed; see ``UNTIMED_ON_GPU``.
    """
    # Which tokens they are does not matter for the time.
    history = [(101 * n) % vocab_size for n in range(num_history)]
    question = [(103 * n + 1) % vocab_size for n in range(QUESTION_TOKENS)]
    other = [(107 * n + 2) % vocab_size for n in range(QUESTION_TOKENS)]
    prompts = [[*history, *asked] for asked in (question, other, question, other)]
    for _ in range(num_untimed):
        cached.clear()
        _first(cached, prompts[0])
    cached.clear()
    cold, *warm = [timed(partial(_first, cached, prompt), cached.device) for prompt in prompts]
    theirs = None
    if plain is not None:
        for _ in range(num_untimed):
            _generate(plain, prompts[0], 1)
        theirs = timed(partial(_generate, plain, prompts[0], 1), plain.device)
    return FirstToken(
        num_history_tokens=num_history,
        cold_seconds=cold,
        warm_seconds=median(warm),
        generate_seconds=theirs,
        llama_cpp_seconds=None if rival is None else rival.first_token(prompts[0]),
    )


def _first(cached: CachedModel, prompt: Sequence[int]) -> None:
    cached.rewind(prompt, reproducible=False)
    loop = write_tokens(
        cached,
        prompt,
        Control(GREEDY),
        sampling=GREEDY,
        context_length=len(prompt) + 1,
        end_tokens=(),
    )
    next(loop)
