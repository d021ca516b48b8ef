"""What is typed after a prompt's name: ``length="one sentence" audience=children Some text``.

Knows the prompts' variables; not where the line was typed.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from chatbot.conversation.prompt_template import INPUT, PromptTemplate
from chatbot.errors import PromptUsageError
from chatbot.terminal_text import clean, clean_line

_PAIR: Final = re.compile(
    r"""\s*([A-Za-z][A-Za-z0-9_]*)=("(?:[^"\\]|\\.)*"|'[^']*'|\S*)(?=\s|\Z)""", re.DOTALL
)
_ESCAPED: Final = re.compile(r"\\([\\\"])")


def parse_arguments(prompt: PromptTemplate, text: str) -> dict[str, str]:
    """The values in a line: first ``name=value`` pairs, then text for the prompt's ``input``.

    Raises:
        PromptUsageError: a name is not among the prompt's variables, or is given twice.
    """
    values: dict[str, str] = {}
    position = 0
    while pair := _PAIR.match(text, position):
        _add(prompt, values, pair[1], _unquoted(pair[2]))
        position = pair.end()
    return add_input(prompt, values, text[position:])


def parse_pairs(prompt: PromptTemplate, pairs: Iterable[str]) -> dict[str, str]:
    """The values of ``--var name=value`` flags.

    Raises:
        PromptUsageError: one has no ``=``, its name is unknown, or it is given twice.
    """
    values: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise PromptUsageError(f"--var takes name=value, not {clean_line(pair, 60)!r}.")
        _add(prompt, values, name.strip(), value)
    return values


def add_input(prompt: PromptTemplate, values: Mapping[str, str], text: str) -> dict[str, str]:
    """``values``, and free text as the variable ``input``.

    Raises:
        PromptUsageError: the prompt has no such variable, or it is given already.
    """
    added = dict(values)
    if text.strip():
        _add(prompt, added, INPUT, text.strip())
    return added


def _add(prompt: PromptTemplate, values: dict[str, str], name: str, value: str) -> None:
    prompt.find_field(name)
    if name in values:
        raise PromptUsageError(f"{name} is given twice.")
    values[name] = clean(value)


def _unquoted(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] == '"':
        return _ESCAPED.sub(r"\1", text[1:-1])
    if len(text) > 1 and text[0] == text[-1] == "'":
        return text[1:-1]
    return text
