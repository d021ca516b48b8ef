"""Whether what our own step computes is as good as it is fast, on the model that comes along.

No test; each part prints one line for a precision:

``python tests/measure_decoding.py equality fp32 [--prompts 0 10]``: greedy answers of 256 tokens
beside those of ``generate()``; where they part, both logits and the step of the precision there.

``python tests/measure_decoding.py perplexity bf16 8-bit 4-bit --text DIR``: over 20,000 tokens of
the text files in a folder, beside the first precision named.

``python tests/measure_decoding.py lookup bf16 --text DIR``: tokens a second with guesses and
without, by turns; the folder holds ``questions.jsonl`` and the files that it names. The model is
asked to quote, and does not always: those answers count of which half is word for word in the
prompt.
"""

import argparse
import json
import math
import statistics
import time
from pathlib import Path

import torch
from torch.nn import functional
from transformers import AutoModelForCausalLM

from chatbot.engine.benchmark.measuring import GREEDY
from chatbot.engine.finding import find_model
from chatbot.engine.inbox import Control
from chatbot.engine.loading import LoadedModel, load
from chatbot.engine.precisions import DTYPES
from chatbot.engine.token_loop import write_tokens

CPU = torch.device("cpu")
NUM_TOKENS = 256
TEXT_TOKENS = 20_000
WINDOW = 512

PROMPTS = (
    "Explain how a bicycle works, in detail.",
    "Write a short story about a lighthouse keeper.",
    "What is the capital of France, and what is it known for?",
    "List ten uses of salt.",
    "How do I sort a list in Python?",
    "Describe the water cycle.",
    "Give me a recipe for pancakes.",
    "Who was Marie Curie?",
    "Write a poem about autumn.",
    "Explain recursion to a child.",
)
QUOTE = (
    "Source: {passage}\n\nQuote the sentences of the source that answer the question, word for "
    "word. Question: {question}"
)


def load_model(precision: str) -> LoadedModel:
    found = find_model("smollm2-135m", lambda *_: None)
    return load(found, precision, CPU, lambda *_: None)  # type: ignore[arg-type]


def chat(text: str) -> list[int]:
    tokenizer = find_model("smollm2-135m", lambda *_: None).tokenizer
    messages = [{"role": "user", "content": text}]
    return list(tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"])


def write(
    loaded: LoadedModel, prompt: list[int], num_tokens: int, *, stops: bool, looks_up: bool = False
) -> tuple[list[int], float]:
    """A greedy answer, and its seconds a token after the first."""
    loaded.cached.rewind(prompt, reproducible=True)
    loop = write_tokens(
        loaded.cached,
        prompt,
        Control(GREEDY),
        sampling=GREEDY,
        context_length=len(prompt) + num_tokens,
        end_tokens=loaded.end_tokens if stops else (),
        looks_up=looks_up,
    )
    answer = [token for token in (next(loop),) if isinstance(token, int)]
    start = time.perf_counter()
    answer += [token for token in loop if isinstance(token, int)]
    return answer, (time.perf_counter() - start) / max(len(answer) - 1, 1)


def measure_equality(precision: str, first: int, last: int) -> None:
    loaded = load_model(precision)
    found = find_model("smollm2-135m", lambda *_: None)
    plain = AutoModelForCausalLM.from_pretrained(
        found.folder, config=found.config, dtype=DTYPES[precision]
    ).eval()
    same = 0
    prompts = PROMPTS[first:last]
    for number, text in enumerate(prompts, first):
        prompt = chat(text)
        ours, _ = write(loaded, prompt, NUM_TOKENS, stops=False)
        ids = torch.tensor([prompt])
        output = plain.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=NUM_TOKENS,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
        )
        theirs = output[0, len(prompt) :].tolist()
        if ours == theirs:
            same += 1
            continue
        at = next(n for n in range(NUM_TOKENS) if ours[n] != theirs[n])
        with torch.inference_mode():
            logits = plain(torch.tensor([prompt + theirs[:at]])).logits[0, -1].float()
        high, low = float(logits[theirs[at]]), float(logits[ours[at]])
        step = torch.finfo(DTYPES[precision]).eps * 2 ** math.floor(math.log2(abs(high)))
        print(
            f"  prompt {number} parts at token {at}: generate's {high:.4f}, ours {low:.4f}; "
            f"{precision} counts in steps of {step:.4g} there",
            flush=True,
        )
    print(f"{precision}: {same} of {len(prompts)} answers equal over {NUM_TOKENS} tokens")


@torch.inference_mode()
def perplexity(loaded: LoadedModel, ids: list[int]) -> float:
    loss = 0.0
    for start in range(0, len(ids) - 1, WINDOW):
        window = ids[start : start + WINDOW + 1]
        loaded.cached.clear()
        logits = loaded.cached.read_each(window[:-1]).float()
        loss += functional.cross_entropy(logits, torch.tensor(window[1:]), reduction="sum").item()
    return math.exp(loss / (len(ids) - 1))


def measure_perplexity(precisions: list[str], folder: Path) -> None:
    tokenizer = find_model("smollm2-135m", lambda *_: None).tokenizer
    files = sorted(file for file in folder.rglob("*") if file.suffix in (".txt", ".md"))
    text = "\n\n".join(file.read_text() for file in files[:40])
    ids = tokenizer(text[: 10 * TEXT_TOKENS])["input_ids"][: TEXT_TOKENS + 1]
    first = 0.0
    for precision in precisions:
        value = perplexity(load_model(precision), ids)
        first = first or value
        print(
            f"{precision}: perplexity {value:.4f} over {len(ids) - 1:,} tokens, "
            f"{value / first - 1:+.2%} of {precisions[0]}",
            flush=True,
        )


def quoted_share(prompt: list[int], answer: list[int], run: int = 8) -> float:
    """How much of the answer stands in runs of ``run`` tokens that the prompt has too."""
    known = {tuple(prompt[start : start + run]) for start in range(len(prompt) - run + 1)}
    quoted = set()
    for start in range(len(answer) - run + 1):
        if tuple(answer[start : start + run]) in known:
            quoted.update(range(start, start + run))
    return len(quoted) / len(answer)


def measure_lookup(precision: str, folder: Path) -> None:
    questions = [json.loads(line) for line in (folder / "questions.jsonl").open()]
    texts = {file.name: file.read_text() for file in folder.rglob("*") if file.suffix == ".md"}
    texts |= {file.name: file.read_text() for file in folder.rglob("*.txt")}
    prompts = []
    for question in questions:
        file = Path(question.get("file") or question.get("document") or "").name
        passage = question.get("passage") or texts.get(file, "")[:1500]
        if len(passage) > 200:
            asked = question.get("question") or question.get("text")
            prompts.append(QUOTE.format(passage=passage, question=asked))
    loaded = load_model(precision)
    for name, some in (("quoting", prompts[:: len(prompts) // 60]), ("free chat", PROMPTS)):
        ratios: list[float] = []
        same = asked = 0
        while len(ratios) < 20 and asked < len(some):
            prompt = chat(some[asked])
            asked += 1
            plain, slow = write(loaded, prompt, 96, stops=True)
            if name == "quoting" and quoted_share(prompt, plain) < 0.5:
                continue
            guessed, fast = write(loaded, prompt, 96, stops=True, looks_up=True)
            same += plain == guessed
            ratios.append(slow / fast)
        print(
            f"{precision}, {name}: {statistics.median(ratios):.2f} times as fast with guesses "
            f"(median; mean {statistics.mean(ratios):.2f}), {same} of {len(ratios)} the same, "
            f"{asked} asked",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["equality", "perplexity", "lookup"])
    parser.add_argument("precision", nargs="+")
    parser.add_argument("--prompts", nargs=2, type=int, default=(0, len(PROMPTS)))
    parser.add_argument("--text", type=Path, default=Path())
    options = parser.parse_args()
    match options.part:
        case "equality":
            measure_equality(options.precision[0], *options.prompts)
        case "perplexity":
            measure_perplexity(options.precision, options.text)
        case "lookup":
            measure_lookup(options.precision[0], options.text)


if __name__ == "__main__":
    main()
