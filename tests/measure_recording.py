"""What recording costs: decode speed with and without it, in turns, within one run.

No test: ``python tests/measure_recording.py [--precision bf16] [--tokens 96] [--rounds 8]`` prints
the medians and their ratio, the size of what is kept, and the first token of a branch.
"""

import argparse
import statistics
import zlib
from collections.abc import Iterator

import msgspec
import torch

from chatbot.engine.answer import answer
from chatbot.engine.inbox import Control
from chatbot.engine.loading import LoadedModel, load
from chatbot.engine.model_reference import find_model
from chatbot.engine.protocol import ChatMessage, Generate, Generated, TokensRecorded
from chatbot.settings import Sampling
from chatbot.tokens import TokenRecord
from chatbot.worker.protocol import encode

QUESTION = ChatMessage("user", "Tell me a long story about a lighthouse and the sea.")
NUM_ALTERNATIVES = 8


def run(
    loaded: LoadedModel, request: Generate, records: list[TokenRecord] | None = None
) -> Generated:
    """One answer, its events written as they would be on the pipe."""
    last: Generated | None = None
    for event in events(loaded, request):
        encode(event)  # type: ignore[arg-type]
        if isinstance(event, TokensRecorded) and records is not None:
            records += event.tokens
        if isinstance(event, Generated):
            last = event
    if last is None:
        raise RuntimeError("the answer did not end")
    return last


def events(loaded: LoadedModel, request: Generate) -> Iterator[object]:
    return answer(loaded, request, Control(request.sampling))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=8)
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    found = find_model(options.model, lambda *_: None)
    loaded = load(found, options.precision, device, lambda *_: None)
    for name, sampling in (
        ("default settings", Sampling(max_tokens=options.tokens)),
        ("no limits", Sampling(temperature=1, top_k=0, top_p=1, max_tokens=options.tokens)),
        ("greedy", Sampling(temperature=0, max_tokens=options.tokens)),
    ):
        speeds: dict[int, list[float]] = {0: [], NUM_ALTERNATIVES: []}
        records: list[TokenRecord] = []
        for _ in range(options.rounds + 1):
            for count in speeds:
                request = Generate(messages=(QUESTION,), sampling=sampling, num_alternatives=count)
                records.clear()
                speeds[count].append(run(loaded, request, records).statistics.tokens_per_second)
        without, with_them = (statistics.median(rates[1:]) for rates in speeds.values())
        print(
            f"{name}: {without:.2f} tok/s without, {with_them:.2f} with, "
            f"cost {1 - with_them / without:.2%}"
        )
    kept = zlib.compress(msgspec.json.encode(records), 6)
    print(f"kept: {len(kept) / max(len(records), 1):.0f} bytes a token")
    index = len(records) // 2
    content = "".join(record.text for record in records[:index])
    request = Generate(
        messages=(QUESTION, ChatMessage("assistant", content)),
        sampling=Sampling(temperature=0, max_tokens=16),
        continue_last=True,
        begun_tokens=tuple(record.token for record in records[:index]),
    )
    cost = run(loaded, request).statistics
    print(
        f"branch at token {index}: {cost.num_cached_tokens} of {cost.num_prompt_tokens} prompt "
        f"tokens from the cache, first token after {cost.first_token_seconds * 1000:.1f} ms, an "
        f"ordinary one takes {1000 / cost.tokens_per_second:.1f} ms"
    )


if __name__ == "__main__":
    main()
