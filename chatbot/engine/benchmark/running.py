"""Loads what the flags ask for, measures it, and prints a table or JSON."""

import argparse
import sys
import time
from collections.abc import Sequence
from statistics import median
from typing import Any, Final

import msgspec
import psutil
import torch
from transformers import AutoModelForCausalLM

from chatbot.engine.benchmark.measuring import (
    COPIES_ON_GPU,
    QUESTION_TOKENS,
    UNTIMED_ON_GPU,
    copy_bandwidth,
    decode_speed,
    first_token,
    generate_speed,
    step_bytes,
    weight_bytes,
)
from chatbot.engine.benchmark.options import add_options
from chatbot.engine.benchmark.quantising import quantise
from chatbot.engine.benchmark.report import Report, format_report
from chatbot.engine.benchmark.rivals import LlamaCpp
from chatbot.engine.benchmark.shapes import random_config
from chatbot.engine.decode.cpu.packing import PackedLinear
from chatbot.engine.decode.cpu.preparing import prepare_for_cpu
from chatbot.engine.devices import look, take_device
from chatbot.engine.failures import as_chatbot_error
from chatbot.engine.finding import FoundModel, find_model
from chatbot.engine.kv_cache import CachedModel
from chatbot.engine.loading import dtype_on_cpu
from chatbot.engine.precisions import pick_precision, quantisation
from chatbot.errors import ChatbotError, SettingError
from chatbot.settings import Precision
from chatbot.terminal_text import clean_line

QUESTION: Final = "Explain how a bicycle works, in detail."
ROOM_FOR_QUESTION: Final = 4096
"""Tokens that a question takes at most, with what a template puts around it."""

_DTYPES: Final[dict[str, torch.dtype]] = {"fp32": torch.float32, "fp16": torch.float16}
"""Anything else is loaded as bf16."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; the exit status is 0, or 1 with one line on standard error."""
    parser = argparse.ArgumentParser(prog="python -m chatbot.engine.benchmark")
    add_options(parser)
    options = parser.parse_args(arguments)
    try:
        report = measure(options)
    except ChatbotError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(msgspec.json.encode(report).decode() if options.json else format_report(report))
    return 0


def measure(options: argparse.Namespace) -> Report:
    """All that ``options`` ask for.

    Raises:
        ModelError: the model cannot be loaded, or llama.cpp is not there.
        SettingError: there is no such shape, or a number makes no sense.
    """
    if options.tokens < 2 or options.runs < 1 or min(options.history, default=1) < 1:
        raise SettingError("--tokens must be at least 2, --runs and --history at least 1.")
    device = take_device()
    precision = _precision(options.precision, device)
    found = None if options.random_config else find_model(options.model, _say)
    rival = LlamaCpp(options.model, _room(options, found)) if options.compare else None
    try:
        return _measure(options, device, precision, found, rival)
    except Exception as error:
        raise as_chatbot_error(error, "measuring") from error


def _measure(
    options: argparse.Namespace,
    device: torch.device,
    precision: Precision,
    found: FoundModel | None,
    rival: LlamaCpp | None,
) -> Report:
    config = random_config(options.random_config) if found is None else found.config
    _say("measuring the memory")
    bandwidth = copy_bandwidth(device, COPIES_ON_GPU if device.type == "cuda" else 1)
    _say("loading")
    before = psutil.Process().memory_info().rss
    start = time.perf_counter()
    dtype = _DTYPES.get(precision, torch.bfloat16)
    own_dtype = dtype_on_cpu(found, precision) if found and device.type == "cpu" else dtype
    model = _load(found, config, own_dtype, precision, device)
    num_parameters = model.num_parameters()
    if found is None and quantisation(precision, device):
        quantise(model, precision)
    prepare_for_cpu(model, precision)
    cached = CachedModel(model)
    seconds = time.perf_counter() - start
    memory = _memory(device, before)
    other = None if options.no_generate else model
    if other is not None and any(isinstance(layer, PackedLinear) for layer in model.modules()):
        other = _load(found, config, dtype, precision, device)
    prompt = _prompt(found, config)
    if device.type == "cuda":
        _say("warming up")  # what is captured and what libraries set up is not decoding
        decode_speed(cached, prompt, options.tokens)
        if other is not None:
            generate_speed(other, prompt, options.tokens)
    ours, plain, theirs = [], [], []
    for run in range(options.runs):
        _say(f"decoding, run {run + 1} of {options.runs}")
        ours.append(decode_speed(cached, prompt, options.tokens))
        if other is not None:
            plain.append(generate_speed(other, prompt, options.tokens))
        if rival is not None:
            theirs.append(rival.speed(prompt, options.tokens))
    decoder = cached.decoder_name
    firsts = []
    num_untimed = UNTIMED_ON_GPU if device.type == "cuda" else 0
    for num_history in _histories(options, config):
        _say(f"first token after {num_history:,} tokens")
        size = config.vocab_size
        firsts.append(first_token(cached, size, num_history, other, rival, num_untimed=num_untimed))
    num_bytes = step_bytes(model)
    return Report(
        model=options.random_config or clean_line(options.model),
        precision=precision,
        device=_device_name(device),
        num_threads=torch.get_num_threads(),
        decoder=decoder,
        num_parameters=num_parameters,
        num_tokens=options.tokens,
        load_seconds=seconds,
        weight_bytes=weight_bytes(model),
        memory_bytes=memory,
        step_bytes=num_bytes,
        copy_bytes_per_second=bandwidth,
        ceiling_tokens_per_second=bandwidth / num_bytes,
        decode_tokens_per_second=median(ours),
        generate_tokens_per_second=median(plain) if plain else None,
        generate_precision=_generate_precision(precision, device) if plain else "",
        llama_cpp_tokens_per_second=median(theirs) if theirs else None,
        first_tokens=tuple(firsts),
    )


def _histories(options: argparse.Namespace, config: Any) -> list[int]:
    """Those that are asked for and that the model has room for, the shortest first."""
    longest = getattr(config, "max_position_embeddings", 0) or 2**31
    return [n for n in sorted(set(options.history)) if n + QUESTION_TOKENS < longest]


def _room(options: argparse.Namespace, found: FoundModel | None) -> int:
    """Tokens that a context has to hold: a history or none, a question and its answer."""
    histories = _histories(options, found.config) if found else []
    return max([ROOM_FOR_QUESTION, *histories]) + QUESTION_TOKENS + int(options.tokens)


def _precision(wanted: Precision, device: torch.device) -> Precision:
    """What is measured.

    Raises:
        ModelError: it cannot be had here.
    """
    if wanted == "auto":
        return "fp16" if device.type == "mps" else "bf16"
    return pick_precision(wanted, device, None, look(device))


def _generate_precision(precision: Precision, device: torch.device) -> str:
    """What ``generate`` is measured in: on a CPU our 8 and 4 bits are not transformers'."""
    return precision if precision in _DTYPES or quantisation(precision, device) else "bf16"


def _load(
    found: FoundModel | None,
    config: Any,
    dtype: torch.dtype,
    precision: Precision,
    device: torch.device,
) -> Any:
    quantised = quantisation(precision, device)
    if found is None:
        with torch.device(device):
            torch.manual_seed(0)
            model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    else:
        model = AutoModelForCausalLM.from_pretrained(
            found.folder,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            **({"quantization_config": quantised, "device_map": {"": device}} if quantised else {}),
        )
        if quantised:
            return model.eval()
    return model.to(device).eval()


def _prompt(found: FoundModel | None, config: Any) -> list[int]:
    if found is None or not found.tokenizer.chat_template:
        return [(101 * n) % config.vocab_size for n in range(40)]
    messages = [{"role": "user", "content": QUESTION}]
    rendered = found.tokenizer.apply_chat_template(messages, add_generation_prompt=True)
    return list(rendered["input_ids"])


def _memory(device: torch.device, before: int) -> int:
    if device.type == "cuda":
        return int(torch.cuda.memory_allocated(device))
    return max(0, int(psutil.Process().memory_info().rss) - before)


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return device.type


def _say(stage: str, _fraction: float | None = None) -> None:
    print(f"\r{stage} …\033[K" if sys.stderr.isatty() else f"{stage} …", file=sys.stderr)
