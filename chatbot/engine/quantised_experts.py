"""The weights of a mixture's experts in 8 or 4 bits, on a GPU.

bitsandbytes rounds linear layers alone, and transformers has the experts of a layer as one tensor:
nearly all of such a model would stay in 16 bits. Knows how transformers loads weights and asks for
those of experts; nothing of steps and tokens.
"""

from typing import Any, Final

import torch
from torch import Tensor, nn
from transformers.core_model_loading import ConversionOps
from transformers.quantizers.auto import AUTO_QUANTIZER_MAPPING
from transformers.quantizers.quantizer_bnb_4bit import Bnb4BitHfQuantizer
from transformers.quantizers.quantizer_bnb_8bit import Bnb8BitHfQuantizer
from transformers.quantizers.quantizers_utils import get_module_from_name

NF4_BLOCK: Final = 64
"""Numbers that share a scale in 4 bits."""

_NAMES: Final = ("gate_up_proj", "up_proj", "down_proj")


class ExpertWeights(nn.Module):
    """Stands where transformers has a tensor [experts, outputs, inputs], and computes what it asks
    of it: the weights of some experts, or all of them with outputs and inputs changed over."""

    numbers: Tensor
    """int8 [experts, outputs, inputs], or two in each of uint8 [experts, outputs * inputs / 2]."""
    scales: Tensor
    """Of each output [experts, outputs, 1], or of each block [experts, outputs * inputs / 64]."""

    def __init__(self, weights: Tensor, *, in_4_bits: bool) -> None:
        """Round ``weights``, of half precision: to whole numbers by a scale for each output, or to
        NF4 (Dettmers et al. 2023) by one for each ``NF4_BLOCK``."""
        super().__init__()
        self.num_weights = weights.numel()
        self._sizes, self._dtype = weights.shape[1:], weights.dtype
        # One by one: the numbers of all may be more than an int32 counts.
        each = [_in_4_bits(one) if in_4_bits else _in_8_bits(one) for one in weights]
        numbers, scales = (torch.stack(parts) for parts in zip(*each, strict=True))
        self.register_buffer("numbers", numbers, persistent=False)
        self.register_buffer("scales", scales, persistent=False)

    @property
    def num_bytes(self) -> int:
        """Memory of all experts."""
        return self.numbers.nbytes + self.scales.nbytes

    def __getitem__(self, experts: Any) -> Tensor:
        """The weights of the experts that an index of their dimension picks."""
        numbers, scales = self.numbers[experts], self.scales[experts]
        if numbers.dtype == torch.int8:
            return numbers * scales
        from bitsandbytes.functional import QuantState, dequantize_4bit

        state = QuantState(
            absmax=scales.flatten().float(),
            shape=torch.Size((scales.numel(), NF4_BLOCK)),
            dtype=self._dtype,
            blocksize=NF4_BLOCK,
            quant_type="nf4",
        )
        weights: Tensor = dequantize_4bit(numbers.reshape(-1, 1), state)
        return weights.view(*numbers.shape[:-1], *self._sizes)

    def transpose(self, first: int, second: int) -> Tensor:
        """All weights, with two dimensions changed over."""
        return self[:].transpose(first, second)


def round_experts_too() -> None:
    """Have transformers round experts wherever it has bitsandbytes round what it loads."""
    AUTO_QUANTIZER_MAPPING["bitsandbytes_4bit"] = _In4Bits
    AUTO_QUANTIZER_MAPPING["bitsandbytes_8bit"] = _In8Bits


def round_experts_of(model: Any, *, in_4_bits: bool) -> None:
    """Round those of a model that is loaded."""
    for module in list(model.modules()):
        for name in [each for each in _NAMES if can_be_rounded(module, each)]:
            _put(module, name, ExpertWeights(getattr(module, name).data, in_4_bits=in_4_bits))


def num_rounded(model: Any) -> int:
    """Weights of experts that are no parameters any more, since they are rounded."""
    return sum(
        module.num_weights for module in model.modules() if isinstance(module, ExpertWeights)
    )


def can_be_rounded(module: nn.Module, name: str) -> bool:
    """Whether the parameter ``name`` of ``module`` is one that ``ExpertWeights`` can stand for."""
    if name not in _NAMES or getattr(module, "is_transposed", True):
        return False
    weights = getattr(module, name, None)
    return (
        isinstance(weights, nn.Parameter)
        and weights.dim() == 3
        and weights[0].numel() % NF4_BLOCK == 0
    )


def _put(module: nn.Module, name: str, weights: ExpertWeights) -> None:
    delattr(module, name)
    setattr(module, name, weights)


def _in_4_bits(weights: Tensor) -> tuple[Tensor, Tensor]:
    from bitsandbytes.functional import quantize_4bit

    blocks = weights.reshape(-1, NF4_BLOCK)
    numbers, state = quantize_4bit(blocks, blocksize=NF4_BLOCK, quant_type="nf4")
    return numbers.flatten(), state.absmax.half()


def _in_8_bits(weights: Tensor) -> tuple[Tensor, Tensor]:
    scales = weights.float().abs().amax(dim=1, keepdim=True) / 127
    scales = scales.clamp(min=torch.finfo(weights.dtype).tiny).to(weights.dtype)
    return (weights / scales).round().clamp(-127, 127).to(torch.int8), scales


class _Round(ConversionOps):  # type: ignore[misc]
    """Rounds what is loaded for one parameter: experts here, all else as bitsandbytes does."""

    def __init__(self, quantizer: Any, other: Any) -> None:
        self._quantizer = quantizer
        self._other = other

    def convert(self, input_dict: dict[str, Any], **options: Any) -> dict[str, Any]:
        """See transformers: tensors, or lists of one, by the names of parameters."""
        converted: dict[str, Any] = {}
        for name, given in input_dict.items():
            module, last = get_module_from_name(options["model"], name)
            if not can_be_rounded(module, last):
                converted |= self._other.convert({name: given}, **options)
                continue
            tensor = given[0] if isinstance(given, list) else given
            in_4_bits = self._quantizer.quantization_config.load_in_4bit
            rounded = ExpertWeights(tensor, in_4_bits=in_4_bits)
            self._quantizer.rounded[name] = rounded
            converted[name] = rounded.numbers
        return converted


class _WithExperts:
    """What both of bitsandbytes' quantizers do for experts as well."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.rounded: dict[str, ExpertWeights] = {}
        """By the names of the parameters that they take the place of."""

    def param_needs_quantization(self, model: Any, param_name: str, **options: Any) -> bool:
        """See transformers."""
        return can_be_rounded(*get_module_from_name(model, param_name)) or bool(
            super().param_needs_quantization(model, param_name, **options)  # type: ignore[misc]
        )

    def get_quantize_ops(self) -> _Round:
        """See transformers."""
        return _Round(self, super().get_quantize_ops())  # type: ignore[misc]

    def _process_model_after_weight_loading(self, model: Any, **options: Any) -> Any:
        while self.rounded:
            name, rounded = self.rounded.popitem()
            module, last = get_module_from_name(model, name)
            _put(module, last, rounded)
        return super()._process_model_after_weight_loading(model, **options)  # type: ignore[misc]


class _In4Bits(_WithExperts, Bnb4BitHfQuantizer):  # type: ignore[misc]
    """Linear layers and experts in NF4."""


class _In8Bits(_WithExperts, Bnb8BitHfQuantizer):  # type: ignore[misc]
    """Linear layers by LLM.int8, experts by a scale for each output."""
