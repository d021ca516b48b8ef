"""The question that a prompt of the library makes of what is asked."""

import sys
from collections.abc import Collection, Mapping, Sequence

import msgspec

from chatbot.conversation.prompt_arguments import add_input, parse_pairs
from chatbot.conversation.prompt_library import load_library
from chatbot.errors import PromptUsageError


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked, and how, by a prompt of the library."""

    text: str
    overrides: Mapping[str, str] = {}
    """Settings for this answer alone, by name, as the user would type them."""
    system_prompt: str = ""
    """A persona's; empty to leave the one that is set."""


def question_by_prompt(
    name: str, pairs: Sequence[str], text: str, flags: Collection[str]
) -> Question:
    """The question that a prompt of the library makes.

    Args:
        name: the prompt's.
        pairs: its variables, each as ``name=value``.
        text: what is asked; the variable ``input`` of a prompt that is sent.
        flags: names of the settings that the command line gives: they count more than the
            prompt's.

    Raises:
        PromptUsageError: there is no such prompt, or its variables are not right.
        PromptError: the prompt cannot be rendered.
    """
    library = load_library()
    for problem in library.problems:
        print(problem, file=sys.stderr)
    prompt = library.get(name)
    values = parse_pairs(prompt, pairs)
    if prompt.kind == "persona":
        if "system_prompt" in flags:
            raise PromptUsageError(
                f"{prompt.name} is a persona, and sets the system prompt: leave --system out."
            )
        return Question(text=text, system_prompt=prompt.fill(values).text)
    filled = prompt.fill(add_input(prompt, values, text))
    settings = {n: value for n, value in prompt.settings.items() if n not in flags}
    return Question(text=filled.text, overrides=settings)
