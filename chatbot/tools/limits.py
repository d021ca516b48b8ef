"""What a tool process may use of the machine. Set before anything of a tool is loaded."""

import contextlib
import ctypes
import resource
import sys
from typing import Final

MAX_MEMORY_BYTES: Final = 2 * 2**30
"""Address space of a tool process, its libraries included."""

_ARENA_MAX: Final = -8
"""``M_ARENA_MAX`` of glibc's mallopt."""


def limit_memory(num_bytes: int = MAX_MEMORY_BYTES) -> None:
    """Let an allocation beyond ``num_bytes`` fail with a MemoryError; no core files either.

    Where the system knows no such limit (macOS) there is none.
    """
    if sys.platform == "linux":
        # Each thread would reserve 64 MiB of addresses for itself, which count here.
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).mallopt(_ARENA_MAX, 2)
    for kind, limit in ((resource.RLIMIT_AS, num_bytes), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(ValueError, OSError):
            hard = resource.getrlimit(kind)[1]
            most = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
            resource.setrlimit(kind, (most, most))
