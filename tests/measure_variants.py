"""What a batch saves: several answers to one prompt at once, against one after the other.

No test: ``python tests/measure_variants.py [--precision bf16] [--number 4] [--tokens 128]
[--rounds 3]`` alternates between both ways, from an empty cache each time, and prints the medians
of the seconds and their ratio; then what the batch takes where transformers computes it.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import torch

from chatbot.engine.answer import answer
from chatbot.engine.decode.plain import TransformersDecoder
from chatbot.engine.finding import find_model
from chatbot.engine.inbox import Control
from chatbot.engine.loading import LoadedModel, load
from chatbot.engine.protocol.answer import Generate, Generated
from chatbot.engine.protocol.messages import ChatMessage
from chatbot.engine.protocol.variants import GenerateVariants, VariantsGenerated
from chatbot.engine.variants.answers import answer_variants
from chatbot.settings import Sampling

QUESTION = (
    ChatMessage("system", "You are a helpful assistant. Give short, correct answers."),
    ChatMessage("user", "Write a very long story about the sea, with many chapters."),
)
"""Long answers: where some end early, the batch is smaller than its name."""

STEPS = 60


def seconds_one_by_one(loaded: LoadedModel, samplings: Sequence[Sampling]) -> tuple[float, int]:
    """Seconds and tokens of the answers one after the other; the prompt stays in the cache."""
    loaded.cached.clear()
    start = time.perf_counter()
    num_tokens = 0
    for sampling in samplings:
        request = Generate(messages=QUESTION, sampling=sampling)
        *_, last = answer(loaded, request, Control(sampling))
        if isinstance(last, Generated):
            num_tokens += last.statistics.num_new_tokens
    return time.perf_counter() - start, num_tokens


def seconds_at_once(loaded: LoadedModel, samplings: Sequence[Sampling]) -> tuple[float, int]:
    """The same in one batch."""
    loaded.cached.clear()
    start = time.perf_counter()
    request = GenerateVariants(messages=QUESTION, samplings=tuple(samplings))
    *_, last = answer_variants(loaded, request, Control(samplings[0]))
    num_tokens = last.num_new_tokens if isinstance(last, VariantsGenerated) else 0
    return time.perf_counter() - start, num_tokens


def step_seconds(loaded: LoadedModel, number: int) -> tuple[float, float, float]:
    """Medians of a step of one row, of a batch by our own step, and of one by transformers'.

    They take turns, so that whatever else the machine does is the same for all.
    """
    cached = loaded.cached
    prompt = loaded.prompts.build(QUESTION).tokens
    cached.rewind(prompt, reproducible=False)
    cached.read(prompt[cached.num_tokens :])
    batch = cached.branch(number)
    decoder = TransformersDecoder(cached._model, cached._brake)
    decoder.read(prompt, 0, lambda: False)
    plain = decoder.branch(number, len(prompt))
    ways: tuple[Callable[[int], object], ...] = (
        lambda token: cached.read([token]),
        lambda token: batch.read([token] * number, lambda: False),
        lambda token: plain.read([token] * number, lambda: False),
    )
    seconds: tuple[list[float], ...] = ([], [], [])
    for token in range(STEPS):
        for way, found in zip(ways, seconds, strict=True):
            start = time.perf_counter()
            way(100 + token)
            found.append(time.perf_counter() - start)
    one, own, other = (statistics.median(found[4:]) for found in seconds)
    return one, own, other


def compare_answers(loaded: LoadedModel, options: argparse.Namespace) -> str:
    """Whole answers in both ways, in turn, and how much faster the batch is."""
    samplings = [
        Sampling(temperature=0.8, seed=seed, max_tokens=options.tokens)
        for seed in range(options.number)
    ]
    ways = (seconds_one_by_one, seconds_at_once)
    rates: tuple[list[float], list[float]] = ([], [])
    written: list[int] = []
    for _ in range(options.rounds):
        for way, found in zip(ways, rates, strict=True):
            seconds, num_tokens = way(loaded, samplings)
            found.append(num_tokens / seconds)
            written.append(num_tokens)
    one, at_once = (statistics.median(found) for found in rates)
    return (
        f"{options.number} answers, {statistics.mean(written):.0f} of at most "
        f"{options.number * options.tokens} tokens: {one:.1f} tokens a second one by "
        f"one, {at_once:.1f} at once: {at_once / one:.2f} times"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--precision", nargs="+", default=["bf16"])
    parser.add_argument("--number", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for precision in options.precision:
        loaded = load(
            find_model(options.model, lambda *_: None), precision, device, lambda *_: None
        )
        if options.rounds:
            print(f"{precision}: {compare_answers(loaded, options)}", flush=True)
        one_row, own, plain = step_seconds(loaded, options.number)
        print(
            f"{precision}: a step of one row takes {one_row * 1000:.1f} ms, of {options.number} "
            f"{own * 1000:.1f} ms, by transformers {plain * 1000:.1f} ms",
            flush=True,
        )


if __name__ == "__main__":
    main()
