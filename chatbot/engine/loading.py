"""Puts a model that was found onto the device, and lets go of it again."""

import gc
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final, get_args

import msgspec
import torch
from transformers import AutoModelForCausalLM

from chatbot.engine.cpu_precision import widen_products
from chatbot.engine.failures import as_chatbot_error
from chatbot.engine.grammar import Grammars
from chatbot.engine.kv_cache import CachedModel
from chatbot.engine.model_reference import FoundModel
from chatbot.engine.progress import Report, progress_bars
from chatbot.engine.prompt import PromptBuilder
from chatbot.engine.protocol import ModelInfo
from chatbot.engine.recording import TokenTexts
from chatbot.errors import ModelError
from chatbot.settings import Precision

DTYPES: Final[dict[Precision, torch.dtype]] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}

END_OF_TURN: Final = (
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<end_of_turn>",
    "<turn|>",
)
"""End tokens that some models' configurations forget to name."""

_LENGTH_FIELDS: Final = (
    "max_position_embeddings",
    "n_positions",
    "max_sequence_length",
    "max_seq_len",
    "seq_length",
    "n_ctx",
)
_DEFAULT_LENGTH: Final = 4096


class LoadedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model ready to write, and what goes with it."""

    info: ModelInfo
    found: FoundModel
    cached: CachedModel
    prompts: PromptBuilder
    end_tokens: frozenset[int]
    """An answer is over after one of these."""
    special_tokens: frozenset[int]
    """Tokens that have no text of their own."""
    made_grammars: list[Grammars] = []
    made_texts: list[TokenTexts] = []

    @property
    def grammars(self) -> Grammars:
        """What holds calls and answers to schemas; made when first asked for.

        Raises:
            ModelError: the tokenizer cannot be held to a grammar.
        """
        if not self.made_grammars:
            self.made_grammars.append(
                Grammars(
                    self.found.tokenizer,
                    self.found.config.get_text_config().vocab_size,
                    self.end_tokens,
                    self.found.name,
                )
            )
        return self.made_grammars[0]

    @property
    def token_texts(self) -> TokenTexts:
        """What each token says by itself; made when first asked for."""
        if not self.made_texts:
            tokenizer = self.found.tokenizer
            encode = partial(tokenizer.encode, add_special_tokens=False)
            decode = self.decode
            if tokenizer.is_fast:  # the same with a tenth of the trip
                decode = partial(tokenizer.backend_tokenizer.decode, skip_special_tokens=False)
            self.made_texts.append(TokenTexts(decode, encode, self.special_tokens))
        return self.made_texts[0]

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of ``tokens``, spaces as they are."""
        text: str = self.found.tokenizer.decode(
            tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return text


def pick_device() -> torch.device:
    """The fastest device there is."""
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def pick_precision(wanted: Precision, device: torch.device) -> Precision:
    """The precision that ``wanted`` means on ``device``; never ``auto``.

    Raises:
        ModelError: there is no such precision.
    """
    if wanted not in get_args(Precision):
        raise ModelError(f"There is no precision {wanted!r}; there are {', '.join(DTYPES)}.")
    if wanted != "auto":
        return wanted
    match device.type:
        case "cuda":
            return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
        case "mps":
            return "fp16"
        case _:
            return "bf16"


def load(
    found: FoundModel, precision: Precision, device: torch.device, report: Report
) -> LoadedModel:
    """Load the weights.

    Args:
        precision: not ``auto``.

    Raises:
        ModelError: memory runs out or the weights do not fit the configuration.
    """
    start = time.perf_counter()
    stage = f"Loading {found.name}"
    report(stage, None)
    try:
        with progress_bars(stage, report):
            model = _load_weights(found, DTYPES[precision], device)
        cached = CachedModel(model)
        prompts = PromptBuilder(found.tokenizer)
        not_ends = {
            found.tokenizer.added_tokens_encoder.get(text) for text in prompts.dialect.not_ends
        }
        info = ModelInfo(
            name=found.name,
            precision=precision,
            device=str(device),
            context_length=_context_length(found),
            num_parameters=model.num_parameters(),
            load_seconds=time.perf_counter() - start,
            tool_dialect=prompts.dialect.name,
            thinks=prompts.dialect.think is not None or prompts.dialect.has_channels,
        )
        return LoadedModel(
            info=info,
            found=found,
            cached=cached,
            prompts=prompts,
            end_tokens=frozenset(_end_tokens(found, model)) - not_ends,
            special_tokens=frozenset(_special_tokens(found)),
        )
    except Exception as error:
        raise as_chatbot_error(error, f"loading {found.name}") from error


def release_memory() -> None:
    """Give back the memory of a model that nothing refers to any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def _load_weights(found: FoundModel, dtype: torch.dtype, device: torch.device) -> Any:
    model, report = AutoModelForCausalLM.from_pretrained(
        found.folder,
        config=found.config,
        dtype=dtype,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
        output_loading_info=True,
    )
    if missing := report["missing_keys"]:
        # transformers would fill them with random numbers.
        raise ModelError(
            f"{found.name} is incomplete: {len(missing)} of its weights are missing, such as "
            f"{min(missing)}."
        )
    model = model.to(device).eval()
    widen_products(model)
    return model


def _context_length(found: FoundModel) -> int:
    config = found.config.get_text_config()
    for field in _LENGTH_FIELDS:
        value = getattr(config, field, None)
        if isinstance(value, int) and value > 0:
            return value
    return min(int(found.tokenizer.model_max_length), _DEFAULT_LENGTH)


def _end_tokens(found: FoundModel, model: Any) -> Iterator[int]:
    for ids in (model.generation_config.eos_token_id, found.tokenizer.eos_token_id):
        if isinstance(ids, int):
            yield ids
        elif ids is not None:
            yield from ids
    added = found.tokenizer.added_tokens_encoder
    yield from (added[text] for text in END_OF_TURN if text in added)


def _special_tokens(found: FoundModel) -> Iterator[int]:
    yield from found.tokenizer.all_special_ids
    added = found.tokenizer.added_tokens_decoder
    yield from (number for number, token in added.items() if token.special)
