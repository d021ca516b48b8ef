"""Makes a model that was just loaded quick on a CPU, in the precision that was asked for."""

import importlib
import threading
from collections.abc import Iterable
from typing import Any, Final

import torch
from torch import nn

from chatbot.engine.cpu_precision import widen_attention
from chatbot.engine.decode.architecture import refusal
from chatbot.engine.decode.cpu.packing import pack_linears, unpacked
from chatbot.settings import Precision


def _load_compiled() -> None:
    for name in ("decode.cpu.kernels.team", "vocabulary"):
        importlib.import_module(f"chatbot.engine.{name}")


_beginning: Final = threading.Thread(target=_load_compiled, daemon=True)


def begin_for(device: torch.device) -> None:
    """Have what a model on ``device`` needs beside its weights loaded while these are fetched and
    read; once on each machine it is compiled, which takes half a minute.
    """
    if device.type == "cpu" and _beginning.ident is None:
        _beginning.start()


def is_compiling() -> bool:
    """Whether what ``begin_for`` began is waited for because it is compiled."""
    if not _beginning.is_alive():
        return False
    from chatbot.engine.compiled import IS_FIRST_TIME  # a compiler comes with it

    return IS_FIRST_TIME


def fused_refusal(model: Any) -> str:
    """Why our own step on a CPU cannot compute ``model``, in a few words; empty when it can."""
    if not _is_on_cpu(model):
        return f"its weights are on {model.device.type}"
    return refusal(model) or unpacked(model)


def prepare_for_cpu(model: Any, precision: Precision) -> None:
    """Have the layers of ``model`` in their fastest form; on other devices nothing is done.

    Its parameters are no longer all there after this: count them before.

    Args:
        model: of transformers, on one device.
        precision: not ``auto``; 8-bit and 4-bit round the weights here, and fp32 widens what
            was loaded in 16 bits and has to be wide.
    """
    if not _is_on_cpu(model):
        return
    is_fused = not fused_refusal(model)
    embedding = model.get_input_embeddings().weight
    _leave_file([embedding])
    pack_linears(model, precision, is_fused=is_fused, shared=embedding.data)
    if precision == "fp32":
        model.float()
    widen_attention(model)
    _leave_file(parameter for parameter in model.parameters() if parameter is not embedding)


def _is_on_cpu(model: Any) -> bool:
    return model.device.type == "cpu" and not getattr(model, "hf_device_map", None)


def _leave_file(parameters: Iterable[nn.Parameter]) -> None:
    """Copy weights, since most of the others were copied already.

    They lie in a map of the whole file, all of which stays in memory as long as one of them
    does.
    """
    for parameter in parameters:
        if parameter.numel():
            parameter.data = parameter.data.clone()
