"""The prompt library: the prompts that come with the program, and the user's own.

A prompt of the user's replaces a shipped one of the same name. Files are read anew each time
the library is asked for, so that an edit is there at once. Knows no face.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from chatbot.conversation.prompt_files import read_prompt
from chatbot.conversation.prompt_template import PromptTemplate
from chatbot.errors import PromptError, PromptUsageError
from chatbot.paths import config_dir, shipped_dir
from chatbot.terminal_text import clean_line

MAX_FILES: Final = 500
"""Most files that are read of one folder."""


class PromptLibrary(msgspec.Struct, frozen=True):
    """All prompts that can be used."""

    prompts: Mapping[str, PromptTemplate]
    """By name, questions before personas, each in the order of their names."""
    problems: tuple[str, ...] = ()
    """One sentence for each file that was not used, for the user to read."""

    def get(self, name: str) -> PromptTemplate:
        """The prompt called ``name``.

        Raises:
            PromptUsageError: there is none; the text lists those there are.
        """
        prompt = self.prompts.get(name.lower())
        if prompt is None:
            known = ", ".join(self.prompts) or "none"
            raise PromptUsageError(
                f"There is no prompt {clean_line(name, 60)!r}; there are {known}."
            )
        return prompt


def prompt_folders() -> tuple[Path, Path]:
    """Where prompts are: the shipped ones, then the user's own."""
    return shipped_dir("prompts"), config_dir() / "prompts"


def is_own(prompt: PromptTemplate) -> bool:
    """Whether a prompt is the user's, and not a shipped one."""
    return prompt.file.parent == prompt_folders()[1]


def load_library(folders: Sequence[Path] | None = None) -> PromptLibrary:
    """Read every prompt in ``folders``, by default in those of ``prompt_folders``.

    A later folder's prompt replaces one of the same name; a file that is broken is named
    among the problems and the rest goes on.
    """
    found: dict[str, PromptTemplate] = {}
    problems: list[str] = []
    for folder in prompt_folders() if folders is None else folders:
        found |= _load_folder(folder, problems)
    ordered = sorted(found.values(), key=lambda p: (p.kind != "question", p.name))
    return PromptLibrary({prompt.name: prompt for prompt in ordered}, tuple(problems))


def _load_folder(folder: Path, problems: list[str]) -> dict[str, PromptTemplate]:
    prompts: dict[str, PromptTemplate] = {}
    try:
        files = sorted(folder.glob("*.md"))
        root = folder.resolve()
    except (OSError, RuntimeError) as error:
        problems.append(f"Prompts in {clean_line(str(folder))} cannot be read ({error}).")
        return {}
    if len(files) > MAX_FILES:
        problems.append(
            f"{clean_line(str(folder))} holds more than {MAX_FILES} prompts; the rest is not used."
        )
    for file in files[:MAX_FILES]:
        place = clean_line(str(file), 300)
        try:
            if not _lies_in(file, root):
                raise PromptError(f"The prompt {place} is not used: it leads out of its folder.")
            prompt = read_prompt(file)
            if other := prompts.get(prompt.name):
                raise PromptError(
                    f"The prompt {place} is not used: {clean_line(other.file.name)} has the same "
                    f"name, {prompt.name}."
                )
        except PromptError as error:
            problems.append(str(error))
        else:
            prompts[prompt.name] = prompt
    return prompts


def _lies_in(file: Path, root: Path) -> bool:
    try:
        return file.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # a link that leads to itself
        return False
