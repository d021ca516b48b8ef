"""Has experts packed while a model is loaded, one weight after the other.

transformers lays the weights of a layer's experts together in memory. All of them, in 16 bits, may
be more than there is of it, where a model in 4 bits has room. Knows transformers' loading by the
way that it is open for others; nothing of files.
"""

from typing import Any, Final

from torch import Tensor
from transformers.core_model_loading import ConversionOps
from transformers.quantizers.auto import register_quantization_config, register_quantizer
from transformers.quantizers.base import HfQuantizer
from transformers.utils.quantization_config import QuantizationConfigMixin

from chatbot.engine.decode.architecture import EXPERTS, mixtures, refusal
from chatbot.engine.decode.cpu.packed_experts import PackedExperts
from chatbot.engine.decode.cpu.packing import pack_weight, unpacked
from chatbot.engine.decode.cpu.projections import DirectProjection
from chatbot.settings import Precision

_METHOD: Final = "experts_for_cpu"


@register_quantization_config(_METHOD)
class PackingConfig(QuantizationConfigMixin):  # type: ignore[misc]
    """For ``from_pretrained``: pack the experts, and nothing else."""

    def __init__(self, precision: Precision) -> None:
        super().__init__(quant_method=_METHOD)
        self.precision: Precision = precision


@register_quantizer(_METHOD)
class ExpertsPacker(HfQuantizer):  # type: ignore[misc]
    """What transformers asks, while it loads, what is to become of each weight."""

    def __init__(self, config: PackingConfig, **options: Any) -> None:
        super().__init__(config, **options)
        self._operation = _Packing(config.precision)
        self._names: frozenset[str] = frozenset()

    def _process_model_before_weight_loading(self, model: Any, **_options: Any) -> None:
        is_fused = not (refusal(model) or unpacked(model))
        own = [mixture.experts for mixture in mixtures(model)] if is_fused else []
        self._names = frozenset(
            f"{place}.{name}"
            for place, module in model.named_modules()
            if any(module is experts for experts in own)
            for name in EXPERTS
        )

    def param_needs_quantization(self, _model: Any, param_name: str, **_options: Any) -> bool:
        """Whether ``param_name`` is the weight of experts that our own step computes."""
        return param_name in self._names

    def get_quantize_ops(self) -> ConversionOps:
        """What packs a weight."""
        return self._operation

    def _process_model_after_weight_loading(self, model: Any, **_options: Any) -> None:
        self.remove_quantization_config(model)  # to all others it is a model like any

    def is_serializable(self) -> bool:
        """Whether it could be saved."""
        return False

    @property
    def is_trainable(self) -> bool:
        """Whether it could be trained."""
        return False


class _Packing(ConversionOps):  # type: ignore[misc]
    """Packs a weight, and puts the experts in their place when there are both of theirs."""

    def __init__(self, precision: Precision) -> None:
        self._precision: Precision = precision
        self._packed: dict[str, dict[str, DirectProjection]] = {}

    def __deepcopy__(self, _memo: dict[int, object]) -> "_Packing":
        return self

    def convert(
        self,
        input_dict: dict[str, Any],
        *,
        full_layer_name: str,
        model: Any,
        missing_keys: set[str] | None = None,
        **_options: Any,
    ) -> dict[str, Any]:
        """Nothing is left of the weight for transformers to put into the model."""
        (weight,) = input_dict.values()
        whole: Tensor = weight[0] if isinstance(weight, list) else weight
        input_dict.clear()
        place, _, name = full_layer_name.rpartition(".")
        parts = self._packed.setdefault(place, {})
        parts[name] = pack_weight(whole.flatten(0, 1), EXPERTS, self._precision)
        if len(parts) == len(EXPERTS):
            packed = PackedExperts(model.get_submodule(place), *(parts[one] for one in EXPERTS))
            model.set_submodule(place, packed)
            del self._packed[place]
        if missing_keys is not None:
            missing_keys.discard(full_layer_name)
        return {}
