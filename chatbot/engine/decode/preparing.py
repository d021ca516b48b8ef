"""Makes a model that was just loaded quick on a CPU, in the precision that was asked for."""

from typing import Any

from chatbot.engine.cpu_precision import widen_products
from chatbot.engine.decode.architecture import refusal
from chatbot.engine.decode.packing import pack_linears
from chatbot.settings import Precision


def prepare_for_cpu(model: Any, precision: Precision) -> None:
    """Have the layers of ``model`` in their fastest form; on other devices nothing is done.

    Its parameters are no longer all there after this: count them before.

    Args:
        model: of transformers, on one device.
        precision: not ``auto``; 8-bit and 4-bit round the weights here.
    """
    if model.device.type != "cpu" or getattr(model, "hf_device_map", None):
        return
    widen_products(model)
    pack_linears(model, precision, is_fused=not refusal(model))
