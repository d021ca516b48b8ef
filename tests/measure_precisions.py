"""Speed and perplexity of each precision on this machine, in one process and side by side.

    python tests/measure_precisions.py [--tokens 20000] [--written 48] [--rounds 3]

The text is this program's own manual. Windows of 1,024 tokens are read, each without what came
before it. Speed is measured in turns, so that whatever else the machine does meets all alike.
"""

import argparse
import math
import os
import statistics
import time
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as the engine has it, before torch reads it

import torch

from chatbot.engine.devices import take_device
from chatbot.engine.finding import find_model
from chatbot.engine.inbox import Control
from chatbot.engine.loading import LoadedModel, load
from chatbot.engine.token_loop import write_tokens
from chatbot.settings import DEFAULT_MODEL, Precision, Sampling

MANUAL = Path(__file__).parent.parent / "knowledge"
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "8-bit", "4-bit")
WINDOW = 1024


def perplexity(loaded: LoadedModel, tokens: list[int]) -> float:
    """Over all tokens that have another one before them in their window."""
    total, count = 0.0, 0
    for start in range(0, len(tokens), WINDOW):
        window = tokens[start : start + WINDOW]
        loaded.cached.clear()
        for block in range(0, len(window), 128):
            logits = loaded.cached.read_each(window[block : block + 128]).float()
            following = torch.tensor(window[block + 1 : block + 129], device=logits.device)
            losses = torch.nn.functional.cross_entropy(
                logits[: len(following)], following, reduction="sum"
            )
            total, count = total + losses.item(), count + len(following)
    return math.exp(total / count)


def tokens_per_second(loaded: LoadedModel, prompt: list[int], count: int) -> float:
    """While writing ``count`` tokens behind ``prompt``, its reading left out."""
    sampling = Sampling(temperature=0, max_tokens=count)
    loaded.cached.rewind(prompt, reproducible=False)
    loop = write_tokens(
        loaded.cached,
        prompt,
        Control(sampling),
        sampling=sampling,
        context_length=8192,
        end_tokens=frozenset(),
        looks_up=False,
    )
    next(loop)
    begin = time.perf_counter()
    num_new = sum(1 for _ in loop)
    return num_new / (time.perf_counter() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-m", "--model", default=DEFAULT_MODEL)
    parser.add_argument("--tokens", type=int, default=20_000)
    parser.add_argument("--written", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    found = find_model(options.model, lambda *_: None)
    text = "\n".join(file.read_text("utf-8") for file in sorted(MANUAL.glob("*.md")))
    tokens = found.tokenizer.encode(text, add_special_tokens=False)[: options.tokens]
    models = {p: load(found, p, take_device(), lambda *_: None) for p in PRECISIONS}
    speeds: dict[Precision, list[float]] = {p: [] for p in PRECISIONS}
    for _ in range(options.rounds):
        for precision, loaded in models.items():
            speeds[precision].append(tokens_per_second(loaded, tokens[:64], options.written))
    rates = {precision: statistics.median(known) for precision, known in speeds.items()}
    perplexities = {p: perplexity(loaded, tokens) for p, loaded in models.items()}
    print(f"{options.model} on {take_device()}, {len(tokens):,} tokens of text")
    print("         MiB   tok/s  of bf16  perplexity  above bf16")
    for precision, loaded in models.items():
        print(
            f"{precision:<6} {loaded.info.weight_bytes / 2**20:5.0f} {rates[precision]:7.1f} "
            f"{rates[precision] / rates['bf16']:8.2f} {perplexities[precision]:11.3f} "
            f"{perplexities[precision] / perplexities['bf16'] - 1:+11.2%}"
        )


if __name__ == "__main__":
    main()
