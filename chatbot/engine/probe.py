"""``python -m chatbot.engine.probe``: what torch finds on this machine, as one JSON object.

A process of its own, because importing torch is slow and may fail on a broken set-up: then
the reason is in the object.
"""

import json
import logging
from typing import Any


def probe() -> dict[str, Any]:
    """Devices, and what bitsandbytes says; ``error`` holds what went wrong, if anything."""
    found: dict[str, Any] = {"torch": "", "devices": [], "bitsandbytes": "", "error": ""}
    try:
        import torch

        found["torch"] = torch.__version__
        found["cuda_build"] = torch.version.cuda or torch.version.hip or ""
        found["is_rocm"] = bool(torch.version.hip)
        found["num_threads"] = torch.get_num_threads()
        found["instructions"] = torch.backends.cpu.get_cpu_capability()
        for index in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(index)
            found["devices"].append(
                {
                    "name": torch.cuda.get_device_name(index),
                    "kind": "cuda",
                    "free_bytes": free,
                    "total_bytes": total,
                    "bf16": torch.cuda.is_bf16_supported(including_emulation=False),
                    "capability": ".".join(map(str, torch.cuda.get_device_capability(index))),
                }
            )
        if torch.backends.mps.is_available():
            found["devices"].append({"name": "Apple GPU", "kind": "mps"})
    except Exception as error:
        found["error"] = f"{type(error).__name__}: {error}".splitlines()[0]
        return found
    if not torch.cuda.is_available():
        found["packed"] = {bits: _try_packed(bits) for bits in ("8-bit", "4-bit")}
    try:
        # Of kernels that it would fetch from the hub, and does without.
        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
        import bitsandbytes

        found["bitsandbytes"] = bitsandbytes.__version__
    except Exception as error:
        found["bitsandbytes"] = f"cannot be imported ({error})".splitlines()[0]
        return found
    if torch.cuda.is_available():
        found["quantised"] = {bits: _try_quantised(bits) for bits in ("8-bit", "4-bit")}
    return found


def _try_packed(bits: str) -> str:
    """Multiply once by what the engine uses on a CPU; returns why it does not work, or nothing."""
    import torch

    from chatbot.engine.decode.cpu.projections import Int4Projection, Int8Projection

    try:
        make: Any = Int8Projection if bits == "8-bit" else Int4Projection
        output = make(torch.ones(64, 64, dtype=torch.bfloat16), None)(torch.ones(1, 64))
        return (
            "" if torch.allclose(output, torch.tensor(64.0), rtol=0.05) else "its result is wrong"
        )
    except Exception as error:
        return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def _try_quantised(bits: str) -> str:
    """Multiply once in ``bits`` on the GPU; returns why it does not work, empty if it does."""
    import bitsandbytes as bnb
    import torch

    try:
        inputs = torch.ones(1, 64, dtype=torch.bfloat16, device="cuda")
        layer: Any
        if bits == "8-bit":
            layer = bnb.nn.Linear8bitLt(64, 64, has_fp16_weights=False, threshold=6.0)
        else:
            layer = bnb.nn.Linear4bit(
                64, 64, quant_type="nf4", compute_dtype=torch.bfloat16, compress_statistics=True
            )
        with torch.inference_mode():
            output = layer.to("cuda")(inputs)
        return "" if bool(torch.isfinite(output).all()) else "its result is not a number"
    except Exception as error:
        return f"{type(error).__name__}: {error}".splitlines()[0][:200]


if __name__ == "__main__":
    print(json.dumps(probe()))
