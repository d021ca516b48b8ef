"""``python -m chatbot.engine.probe``: what torch finds on this machine, as one JSON object.

A process of its own, because importing torch is slow and may fail on a broken set-up: then
the reason is in the object.
"""

import json
from typing import Any


def probe() -> dict[str, Any]:
    """Devices, and what bitsandbytes says; ``error`` holds what went wrong, if anything."""
    found: dict[str, Any] = {"torch": "", "devices": [], "bitsandbytes": "", "error": ""}
    try:
        import torch

        found["torch"] = torch.__version__
        found["cuda_build"] = torch.version.cuda or torch.version.hip or ""
        found["num_threads"] = torch.get_num_threads()
        for index in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(index)
            found["devices"].append(
                {
                    "name": torch.cuda.get_device_name(index),
                    "kind": "cuda",
                    "free_bytes": free,
                    "total_bytes": total,
                    "bf16": torch.cuda.is_bf16_supported(),
                }
            )
        if torch.backends.mps.is_available():
            found["devices"].append({"name": "Apple GPU", "kind": "mps"})
    except Exception as error:
        found["error"] = f"{type(error).__name__}: {error}".splitlines()[0]
        return found
    try:
        import bitsandbytes

        found["bitsandbytes"] = bitsandbytes.__version__
    except Exception as error:
        found["bitsandbytes"] = f"cannot be imported ({error})".splitlines()[0]
    return found


if __name__ == "__main__":
    print(json.dumps(probe()))
