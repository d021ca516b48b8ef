"""How soon a chat with a model of recurrent layers goes on, beside reading all of it.

No test: ``python tests/measure_going_back.py [--history 4000] [--runs 3]`` prints for each way on
the median of the first token with the history read before and with an empty cache, in turn, and
their ratio. The model has random weights in the build of Qwen 3.5: three layers of 128, one of
them attention.
"""

import argparse
import random
import statistics
import time

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from chatbot.engine.decode.cpu.preparing import prepare_for_cpu
from chatbot.engine.inbox import Control
from chatbot.engine.kv_cache import CachedModel
from chatbot.engine.reading import read_prompt
from chatbot.settings import Sampling

SIZES = {
    "vocab_size": 8192,
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "linear_key_head_dim": 64,
    "linear_value_head_dim": 64,
    "layer_types": ["linear_attention", "linear_attention", "full_attention"],
}
NUM_ANSWERED = 100
NUM_ASKED = 40
NUM_OPENING = 5
"""Tokens at the end of a prompt that begin a thought, and are not there in the next one."""


def seconds_to_first(cached: CachedModel, prompt: list[int], *, reproducible: bool) -> float:
    """Seconds until the logits after ``prompt`` are there."""
    start = time.perf_counter()
    kept = cached.rewind(prompt, reproducible=reproducible)
    read_prompt(cached, prompt[kept:], Control(Sampling()))
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--history", type=int, default=4000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    torch.manual_seed(0)
    config = AutoConfig.for_model("qwen3_5_text", **SIZES)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()
    prepare_for_cpu(model, "bf16")
    cached = CachedModel(model)
    rng = random.Random(7)

    def words(size: int) -> list[int]:
        return [rng.randint(3, 8000) for _ in range(size)]

    history = words(options.history)
    said, asked = words(NUM_ANSWERED), words(NUM_ASKED)
    ways = {
        "next question": [*history, *said, *asked],
        "another answer": history,
        "another answer, with a seed": history,
        "next question without the thoughts": [
            *history[:-NUM_OPENING],
            *said[NUM_ANSWERED // 2 :],
            *asked,
        ],
    }
    for name, prompt in ways.items():
        is_seeded = name.endswith("seed")
        warm, cold = [], []
        for _ in range(options.runs):
            cached.clear()
            seconds_to_first(cached, history, reproducible=is_seeded)
            for token in said:
                cached.read([token])
            warm.append(seconds_to_first(cached, prompt, reproducible=is_seeded))
            cached.clear()
            cold.append(seconds_to_first(cached, prompt, reproducible=is_seeded))
        first, second = statistics.median(warm), statistics.median(cold)
        print(f"{name}: {first:.2f} s, cold {second:.2f} s, {second / first:.1f} times", flush=True)


if __name__ == "__main__":
    main()
