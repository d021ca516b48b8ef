"""How soon the engine is ready, beside the bare libraries that it cannot do without.

No test: ``python tests/measure_engine_start.py [--precision bf16] [--rounds 5]`` starts by turns
the engine process, until it says that the model is loaded, and a Python that imports torch and
transformers and loads the same files by ``from_pretrained``.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from chatbot.engine.client import EngineClient
from chatbot.engine.finding import find_model
from chatbot.settings import Precision

BARE = """
import sys
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
AutoTokenizer.from_pretrained(sys.argv[1])
AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=getattr(torch, sys.argv[2]))
"""
DTYPES: dict[Precision, str] = {"fp32": "float32", "bf16": "bfloat16"}


def bare_seconds(folder: Path, precision: Precision) -> float:
    """The libraries alone."""
    start = time.perf_counter()
    command = [sys.executable, "-c", BARE, str(folder), DTYPES[precision]]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


async def engine_seconds(model: str, precision: Precision, log_file: Path) -> float:
    """The engine, from nothing to a model that can be asked."""
    engine = EngineClient(log_file)
    start = time.perf_counter()
    await engine.ensure_loaded(model, precision)
    seconds = time.perf_counter() - start
    await engine.close()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--precision", choices=DTYPES, default="bf16")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    # Where it is set, every start would compile the program anew, which no user's does.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    folder = find_model(options.model, lambda *_: None).folder
    bare, engine = [], []
    with tempfile.TemporaryDirectory() as logs:
        for number in range(options.rounds + 1):  # the first one warms the disk
            seconds = bare_seconds(folder, options.precision)
            own = engine_seconds(options.model, options.precision, Path(logs, "engine.log"))
            own_seconds = asyncio.run(own)
            if number:
                bare.append(seconds)
                engine.append(own_seconds)
                print(f"bare {seconds:.2f} s, engine {own_seconds:.2f} s", flush=True)
    ratio = statistics.median(e / b for e, b in zip(engine, bare, strict=True))
    print(
        f"engine ready after {statistics.median(engine):.2f} s, bare libraries "
        f"{statistics.median(bare):.2f} s: {ratio:.2f} times"
    )


if __name__ == "__main__":
    main()
