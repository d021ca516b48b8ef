"""The prompts of the library as a list, and what one of them lacks asked for line by line."""

from collections.abc import Mapping

from chatbot.conversation.prompt_library import PromptLibrary
from chatbot.conversation.prompt_template import FilledPrompt, PromptTemplate, Variable
from chatbot.errors import PromptUsageError
from chatbot.plain.line_input import read_line
from chatbot.plain.progress_line import ProgressLine
from chatbot.terminal_text import clean


def prompt_lines(library: PromptLibrary) -> list[str]:
    """The prompts there are, as Markdown."""
    lines = ["**Prompts**", ""]
    for prompt in library.prompts.values():
        names = " ".join(f"{v.name}=" for v in prompt.fields)
        lines.append(
            f"- `/prompt {prompt.name}` {prompt.description}." + (f" `{names}`" if names else "")
        )
    return lines


async def fill_by_questions(
    prompt: PromptTemplate, values: Mapping[str, str]
) -> FilledPrompt | None:
    """The prompt with these values, and those that the user is asked for.

    Returns:
        None when the user leaves one out.

    Raises:
        PromptUsageError: a value that was given before is not allowed.
        PromptError: the prompt cannot be rendered.
    """
    given = dict(values)
    while missing := prompt.missing(given):
        answer = await _ask_for(missing[0])
        if answer is None:
            return None
        given[missing[0].name] = answer
    return prompt.fill(given)


async def _ask_for(variable: Variable) -> str | None:
    """A value for a variable, in one line; None when the user gives none."""
    about = variable.description
    if variable.choices:
        about = f"{about}; one of {', '.join(variable.choices)}".removeprefix("; ")
    question = f"{variable.name} ({about}): " if about else f"{variable.name}: "
    while line := await read_line(question):
        value = clean(line).strip()
        try:
            variable.check(value)
        except PromptUsageError as error:
            ProgressLine.print(str(error))
        else:
            return value or None
    return None
