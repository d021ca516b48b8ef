"""Takes a docstring apart: what the function does, and what each parameter is.

Understands Google's style. Knows nothing of signatures.
"""

import inspect
import re
from typing import Final

_SECTION: Final = re.compile(
    r"^(Args|Arguments|Parameters|Attributes|Example|Examples|Note|Notes|Raises|Returns?|Yields"
    r"|See Also|Todo|Warnings?):\s*$",
    re.MULTILINE,
)
_PARAMETER: Final = re.compile(r"^\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)$")


def summary(docstring: str | None) -> str:
    """The first paragraph, as one line; empty where there is none."""
    text = inspect.cleandoc(docstring or "")
    before = text[: found.start()] if (found := _SECTION.search(text)) else text
    return " ".join(before.strip().split("\n\n", 1)[0].split())


def parameter_descriptions(docstring: str | None) -> dict[str, str]:
    """What the section ``Args`` says of each parameter, each as one line."""
    lines = inspect.cleandoc(docstring or "").split("\n")
    starts = [i for i, line in enumerate(lines) if re.match(r"^(Args|Arguments|Parameters):", line)]
    descriptions: dict[str, list[str]] = {}
    if not starts:
        return {}
    name, indent = "", None
    for line in lines[starts[0] + 1 :]:
        if not line.strip():
            continue
        depth = len(line) - len(line.lstrip())
        if depth == 0:
            break
        # Everything deeper than the first entry goes on with the entry above it.
        indent = depth if indent is None else indent
        found = _PARAMETER.match(line.strip()) if depth <= indent else None
        if found:
            name = found[1]
            descriptions[name] = [found[2]]
        elif name:
            descriptions[name].append(line.strip())
    return {name: " ".join(" ".join(parts).split()) for name, parts in descriptions.items()}
