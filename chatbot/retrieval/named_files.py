"""Which files a query names: "what does plan.md say". Knows no index and no scores."""

import functools
import re
from collections.abc import Mapping
from typing import Final

NAMED_FILE_BONUS: Final = 1.0
"""What a score gains where the query names the passage's file: more than words and meaning can."""


def find_named(query: str, files: Mapping[int, str]) -> set[int]:
    """The keys of the files that are named in ``query``, with their ending, in any case.

    Args:
        query: any text.
        files: relative to their folders, with ``/``.
    """
    asked = query.casefold()

    @functools.cache
    def is_named(name: str) -> bool:
        folded = name.casefold()
        if folded not in asked:  # the most by far, and a pattern takes longer to make
            return False
        pattern = rf"(?<![\w.-]){re.escape(folded)}(?!\w)"
        return "." in name[1:-1] and re.search(pattern, asked) is not None

    return {key for key, file in files.items() if is_named(file.rpartition("/")[2])}
