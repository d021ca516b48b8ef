"""Puts a model that was found onto the device, and lets go of it again."""

import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final

import msgspec
import torch
from transformers import AutoModelForCausalLM

from chatbot.engine.decode.cpu.packed_loading import PackingConfig
from chatbot.engine.decode.cpu.packing import num_in_packed_experts, packed_tensors
from chatbot.engine.decode.cpu.preparing import is_compiling, prepare_for_cpu
from chatbot.engine.detokenizer import REPLACEMENT
from chatbot.engine.devices import bytes_by_device, mapped_pieces
from chatbot.engine.failures import as_chatbot_error
from chatbot.engine.finding import FoundModel
from chatbot.engine.grammar import Grammars
from chatbot.engine.kv_cache import CachedModel
from chatbot.engine.placement import Placement, shares
from chatbot.engine.precisions import quantisation, work_dtype
from chatbot.engine.progress import Report, progress_bars
from chatbot.engine.prompt import PromptBuilder
from chatbot.engine.protocol.model_info import ModelInfo
from chatbot.engine.quantised_experts import num_rounded
from chatbot.engine.recording import TokenTexts
from chatbot.errors import ModelError
from chatbot.models.counting import OWN_STEP
from chatbot.models.safetensors_header import count_tensors
from chatbot.models.shape import LENGTH_FIELDS
from chatbot.settings import Precision

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

_DEFAULT_LENGTH: Final = 4096

_HALVES: Final = {"BF16": torch.bfloat16, "F16": torch.float16}


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
    model: Any
    """The transformers model itself, for what changes it in place: adapters."""
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
        text, mark = self._written(tokens), self._line_break
        return _with_line_breaks(text, mark) if mark else text

    def decode_end(self, tokens: Sequence[int]) -> str:
        """As ``decode``, where no more tokens come: half a mark for a line break is text then."""
        text, mark = self._written(tokens), self._line_break
        return text.replace(mark, "\n") if mark else text

    def _written(self, tokens: Sequence[int]) -> str:
        text: str = self.found.tokenizer.decode(
            tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return text

    @property
    def _line_break(self) -> str:
        """What the model writes for one, where it cannot write the character."""
        return self.found.chat_format.newline if self.found.chat_format else ""


def load(
    found: FoundModel,
    precision: Precision,
    device: torch.device,
    report: Report,
    placement: Placement | None = None,
) -> LoadedModel:
    """Load the weights.

    Args:
        found: what to load.
        precision: not ``auto``.
        device: what is computed on.
        report: told how far it is.
        placement: where the weights go; all of them to ``device`` where it is None.

    Raises:
        ModelError: memory runs out or the weights do not fit the configuration.
    """
    start = time.perf_counter()
    stage = f"Loading {found.name}"
    report(stage, None)
    try:
        with progress_bars(stage, report), mapped_pieces():
            model = _load_weights(found, precision, device, placement or Placement(device=device))
            num_parameters = model.num_parameters() + num_rounded(model)
            num_parameters += num_in_packed_experts(model)
            if is_compiling():
                report("Compiling for this processor, once", None)
            prepare_for_cpu(model, precision)
        cached = CachedModel(model)
        prompts = PromptBuilder(found.tokenizer, found.chat_format)
        places = bytes_by_device(model, packed_tensors(model))
        not_ends = {
            found.tokenizer.added_tokens_encoder.get(text) for text in prompts.dialect.not_ends
        }
        info = ModelInfo(
            name=found.name,
            precision=precision,
            device=str(device),
            weight_bytes=sum(places.values()),
            placement=shares(places),
            context_length=_context_length(found),
            num_parameters=num_parameters,
            load_seconds=time.perf_counter() - start,
            tool_dialect=prompts.dialect.name,
            thinking_switch=prompts.thinking_switch,
            thinks=prompts.dialect.think is not None or prompts.dialect.has_channels,
        )
        return LoadedModel(
            info=info,
            found=found,
            model=model,
            cached=cached,
            prompts=prompts,
            end_tokens=frozenset(_end_tokens(found, model)) - not_ends,
            special_tokens=frozenset(_special_tokens(found)),
        )
    except Exception as error:
        raise as_chatbot_error(error, f"loading {found.name}") from error


def _load_weights(
    found: FoundModel, precision: Precision, device: torch.device, placement: Placement
) -> Any:
    is_prepared = device.type == "cpu" and placement.device is not None
    packing = _packing(found, precision) if is_prepared else None
    quantised = packing or quantisation(precision, device)
    is_bounded = getattr(found.config.get_text_config(), "attn_logit_softcapping", None)
    model, report = AutoModelForCausalLM.from_pretrained(
        found.folder,
        config=found.config,
        dtype=dtype_on_cpu(found, precision) if is_prepared else work_dtype(precision, device),
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=found.allows_code,
        output_loading_info=True,
        **({"quantization_config": quantised} if quantised else {}),
        # torch's own attention, chosen up to transformers 5.20, leaves the bound out.
        **({"attn_implementation": "eager"} if is_bounded else {}),
        **placement.options(),
    )
    if missing := report["missing_keys"]:
        # transformers would fill them with random numbers.
        raise ModelError(
            f"{found.name} is incomplete: {len(missing)} of its weights are missing, such as "
            f"{min(missing)}."
        )
    if quantised is packing and placement.device is not None:
        model = model.to(device)
    return model.eval()


def _packing(found: FoundModel, precision: Precision) -> PackingConfig | None:
    """What has experts rounded as they are loaded; None where there are none, or none rounded."""
    config = found.config.get_text_config()
    is_mixture = getattr(config, "num_experts_per_tok", 0) and config.model_type in OWN_STEP
    is_rounded = precision in ("8-bit", "4-bit")
    is_whole = getattr(found.config, "quantization_config", None) is None
    return PackingConfig(precision) if is_mixture and is_rounded and is_whole else None


def dtype_on_cpu(found: FoundModel, precision: Precision) -> torch.dtype:
    """What weights for a CPU are loaded in: for fp32 what the files have, if that is 16 bits
    throughout; ``prepare_for_cpu`` widens it. Other families than those that are known to the last
    detail may have numbers that are computed as they are loaded.
    """
    if precision == "fp32" and found.config.model_type in OWN_STEP:
        stored = count_tensors(sorted(found.folder.glob("*.safetensors"))).dtype
        return _HALVES.get(stored, torch.float32)
    return work_dtype(precision, torch.device("cpu"))


def _with_line_breaks(text: str, mark: str) -> str:
    """``text`` with line breaks where the model writes ``mark`` for them.

    Half a mark at the end counts as half a character: what comes next decides.
    """
    text = text.replace(mark, "\n")
    for length in range(len(mark) - 1, 0, -1):
        if text.endswith(mark[:length]):
            return text[:-length] + REPLACEMENT
    return text


def _context_length(found: FoundModel) -> int:
    config = found.config.get_text_config()
    for field in LENGTH_FIELDS:
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
