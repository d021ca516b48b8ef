"""The real engine on a machine that has no more memory for weights than ``ROOM_BYTES`` says.

Started by tests in place of ``python -m chatbot.engine``.
"""

import os

import msgspec
import torch

from chatbot.engine import __main__, server
from chatbot.engine.devices import look
from chatbot.engine.placement import RAM_SHARE
from chatbot.models.hardware import Hardware

ROOM = int(os.environ["ROOM_BYTES"])


def look_around(device: torch.device) -> Hardware:
    """What there is, but for so little memory that a model has to be split."""
    free = int(ROOM / RAM_SHARE)
    return Hardware(gpus=(), ram=msgspec.structs.replace(look(device).ram, free_bytes=free))


if __name__ == "__main__":
    server.look = look_around
    __main__.main()
