"""What recording costs: within each answer every other token is recorded, so that whatever else
the machine does is the same for both.

No test: ``python tests/measure_recording.py [--precision bf16] [--tokens 200] [--rounds 4]``
prints the medians of both kinds and their ratio, the size of what is kept, and how soon the
first token of a branch is there. With ``--beams 5`` it times searches with so many beams instead,
with records and without in turn.
"""

import argparse
import statistics
import time
import zlib

import msgspec
import torch

from chatbot.engine.answer import answer
from chatbot.engine.finding import find_model
from chatbot.engine.inbox import Control
from chatbot.engine.loading import LoadedModel, load
from chatbot.engine.protocol.answer import Generate, Generated, TokensRecorded
from chatbot.engine.protocol.messages import ChatMessage
from chatbot.engine.protocol.variants import SearchBeams, VariantsGenerated
from chatbot.engine.recording import Recorder
from chatbot.engine.token_loop import write_tokens
from chatbot.engine.variants.beams import search_beams
from chatbot.settings import Sampling
from chatbot.tokens import TokenRecord
from chatbot.worker.protocol import encode

QUESTION = ChatMessage("user", "Tell me a long story about a lighthouse and the sea.")
NUM_ALTERNATIVES = 8


class EveryOther(Recorder):
    """Records every other token."""

    is_on = True

    def note(
        self, logits: object, token: int, drawn_from: object, *, is_users: bool = False
    ) -> None:
        if self.is_on:
            super().note(logits, token, drawn_from, is_users=is_users)  # type: ignore[arg-type]


def seconds_per_token(
    loaded: LoadedModel, sampling: Sampling, records: list[TokenRecord]
) -> tuple[list[float], list[float]]:
    """Seconds of the tokens with and without recording, what is sent of them included."""
    prompt = loaded.prompts.build((QUESTION,)).tokens
    loaded.cached.rewind(prompt, reproducible=False)
    recorder = EveryOther(NUM_ALTERNATIVES, loaded.token_texts)
    loop = write_tokens(
        loaded.cached,
        prompt,
        Control(sampling),
        sampling=sampling,
        context_length=loaded.info.context_length,
        end_tokens=(),  # or some answers would be too short to measure
        recorder=recorder,
    )
    seconds: tuple[list[float], list[float]] = ([], [])
    for number in range(sampling.max_tokens):
        recorder.is_on = number % 2 == 0
        start = time.perf_counter()
        token = next(loop)
        if recorder.is_on and isinstance(token, int):
            recorder.complete(loaded.token_texts(token), "text")
            new = recorder.take()
            encode(TokensRecorded(request_id=1, tokens=new))
            records += new
        if number > 3:
            seconds[number % 2].append(time.perf_counter() - start)
    loop.close()
    return seconds


def branch_seconds(loaded: LoadedModel) -> str:
    """How soon an answer that turns off in its middle goes on."""
    sampling = Sampling(temperature=0, max_tokens=120)
    request = Generate(messages=(QUESTION,), sampling=sampling, num_alternatives=NUM_ALTERNATIVES)
    records: list[TokenRecord] = []
    for event in answer(loaded, request, Control(sampling)):
        if isinstance(event, TokensRecorded):
            records += event.tokens
    kept = records[: len(records) // 2]
    other = next(a for a in records[len(kept)].alternatives if a.token != records[len(kept)].token)
    content = "".join(record.text for record in kept) + other.text
    request = Generate(
        messages=(QUESTION, ChatMessage("assistant", content)),
        sampling=Sampling(temperature=0, max_tokens=24),
        num_alternatives=NUM_ALTERNATIVES,
        continue_last=True,
        begun_tokens=(*(record.token for record in kept), other.token),
    )
    *_, last = answer(loaded, request, Control(request.sampling))
    if not isinstance(last, Generated):
        raise RuntimeError("the answer did not end")
    cost = last.statistics
    return (
        f"branch at token {len(kept) + 1}: {cost.num_cached_tokens} of {cost.num_prompt_tokens} "
        f"prompt tokens from the cache, first token after {cost.first_token_seconds * 1000:.1f} "
        f"ms, an ordinary one takes {1000 / cost.tokens_per_second:.1f} ms"
    )


def beam_seconds(loaded: LoadedModel, num_beams: int, num_tokens: int, rounds: int) -> str:
    """What recording takes of a beam search, with records and without in turn."""
    sampling = Sampling(max_tokens=num_tokens)

    def seconds(num_alternatives: int) -> float:
        request = SearchBeams(
            messages=(QUESTION,),
            sampling=sampling,
            num_beams=num_beams,
            num_alternatives=num_alternatives,
        )
        *_, last = search_beams(loaded, request, Control(sampling))
        if not isinstance(last, VariantsGenerated):
            raise RuntimeError("the search did not end")
        return last.seconds

    seconds(0), seconds(NUM_ALTERNATIVES)
    pairs = [(seconds(0), seconds(NUM_ALTERNATIVES)) for _ in range(rounds)]
    plain, recorded = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(1 - a / b for a, b in pairs)
    return (
        f"{num_beams} beams of {num_tokens} tokens: {plain:.2f} s without, {recorded:.2f} s with, "
        f"cost {ratio:.2%} of the speed; {rounds} pairs"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--beams", type=int, default=0)
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    found = find_model(options.model, lambda *_: None)
    loaded = load(found, options.precision, device, lambda *_: None)
    if options.beams:
        print(beam_seconds(loaded, options.beams, options.tokens, options.rounds))
        return
    for name, sampling in (
        ("default settings", Sampling(max_tokens=options.tokens)),
        ("no limits", Sampling(temperature=1, top_k=0, top_p=1, max_tokens=options.tokens)),
        ("greedy", Sampling(temperature=0, max_tokens=options.tokens)),
    ):
        with_them: list[float] = []
        without: list[float] = []
        records: list[TokenRecord] = []
        for _ in range(options.rounds):
            records.clear()
            recorded, plain = seconds_per_token(loaded, sampling, records)
            with_them += recorded
            without += plain
        a, b = statistics.median(without), statistics.median(with_them)
        print(
            f"{name}: {a * 1000:.2f} ms a token without, {b * 1000:.2f} ms with "
            f"({(b - a) * 1000:+.2f} ms), cost {(b - a) / b:.2%} of the speed; "
            f"{len(without) + len(with_them)} tokens"
        )
    kept = zlib.compress(msgspec.json.encode(records))
    print(f"kept: {len(kept) / len(records):.0f} bytes a token")
    print(branch_seconds(loaded))


if __name__ == "__main__":
    main()
