"""Counts and times as people read them. Knows nothing of what is counted."""


def counted(number: int, noun: str) -> str:
    """So many of something: ``1 token``, ``1,024 tokens``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def duration(seconds: float) -> str:
    """As exact as an estimate deserves: ``12 s``, ``3 min``, ``2.1 h``."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
