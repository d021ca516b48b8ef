"""What a tool process may use of the machine. Set before anything of a tool is loaded."""

import contextlib
import resource
from typing import Final

MAX_MEMORY_BYTES: Final = 4 * 2**30
"""Address space of a tool process. Of it, libraries with many threads reserve a good part for
stacks and arenas that they never touch."""


def limit_memory() -> None:
    """Let an allocation beyond ``MAX_MEMORY_BYTES`` fail with a MemoryError; no core files either.

    Where the system knows no such limit (macOS) there is none.
    """
    for kind, limit in ((resource.RLIMIT_AS, MAX_MEMORY_BYTES), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(ValueError, OSError):
            hard = resource.getrlimit(kind)[1]
            most = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
            resource.setrlimit(kind, (most, most))
