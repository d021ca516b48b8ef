"""How far two texts are the same. Knows nothing of what they say."""


def common_length(first: str, second: str, start: int = 0) -> int:
    """Length of the longest common start of ``first`` and of ``second`` from ``start`` on.

    By bisection, which compares whole pieces at once: nearly always it is all of one.
    """
    if second.startswith(first, start):
        return len(first)
    low, high = 0, min(len(first), len(second) - start)
    while low < high:
        middle = (low + high + 1) // 2
        # What is the same up to ``low`` is not compared again.
        if second.startswith(first[low:middle], start + low):
            low = middle
        else:
            high = middle - 1
    return low
