"""Limits that a process sets on itself before it touches a file that it cannot trust.

They are for good: a process may lower them, never raise them. They hold back whatever a file
makes of it: endless memory, endless computing, files written, the machine's other programs.
"""

import contextlib
import resource
import signal
import sys
from typing import Final

MAX_MEMORY_BYTES: Final = 2 * 2**30
"""Address space, of which an ordinary document takes a tenth."""
MAX_OPEN_FILES: Final = 64


def set_limits(max_memory_bytes: int = MAX_MEMORY_BYTES) -> None:
    """Take the process's means away; what a system does not know of is left out."""
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, MAX_OPEN_FILES)
    # macOS takes no such limit; there, only the sizes of files and the time are bounded.
    _limit(resource.RLIMIT_AS, max_memory_bytes)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    _be_the_first_to_go()


def limit_cpu(seconds: int) -> None:
    """End the process once it has computed for so long from now on.

    The reader has its own clock and is faster; this is for when the reader is gone.
    """
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + 1 + seconds
    with contextlib.suppress(ValueError, OSError):
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        if hard != resource.RLIM_INFINITY:
            soft = min(soft, hard)
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _limit(kind: int, value: int) -> None:
    with contextlib.suppress(ValueError, OSError):
        _, hard = resource.getrlimit(kind)
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)
        resource.setrlimit(kind, (value, value))


def _be_the_first_to_go() -> None:
    """Have Linux, where memory runs out, end this process rather than the user's programs."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
