"""What the app does with the picker of prompts: opens it, and uses what was filled in there."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from chatbot.conversation.commands import use_prompt
from chatbot.conversation.prompt_library import PromptLibrary, load_library
from chatbot.conversation.prompt_template import INPUT, FilledPrompt
from chatbot.errors import ChatbotError
from chatbot.tui.prompts.picker import PromptPicker

if TYPE_CHECKING:
    from chatbot.tui.app import ChatApp
    from chatbot.tui.prompt import Prompt


async def fill_prompt(
    app: "ChatApp", library: PromptLibrary, name: str, values: Mapping[str, str]
) -> FilledPrompt | None:
    """Have the user choose a prompt and fill it in; None: they would rather not.

    Args:
        app: shows the picker.
        library: the prompts.
        name: the one that it opens with; empty for the list.
        values: what is known of its variables.
    """
    return await app.push_screen_wait(_picker(app, library, name, values))


def choose_prompt(app: "ChatApp", box: "Prompt") -> None:
    """Use a prompt of the library; a draft in ``box`` is its input.

    The picker is there at once: the next key, which may be there already, is for it.
    """
    draft = box.text
    is_input = bool(draft.strip()) and not draft.startswith("/")

    async def use(filled: FilledPrompt) -> None:
        try:
            await use_prompt(app, filled)
        except ChatbotError as error:
            app.refuse(str(error))
            box.give_back(filled.text)

    def chosen(filled: FilledPrompt | None) -> None:
        if filled and is_input and filled.prompt.kind == "question":
            box.text = ""
        if filled:
            app.run_worker(use(filled), group="turn")

    app.push_screen(_picker(app, load_library(), "", {INPUT: draft} if is_input else {}), chosen)


def _picker(
    app: "ChatApp", library: PromptLibrary, name: str, values: Mapping[str, str]
) -> PromptPicker:
    app.clear_notifications()  # they were about what is covered now
    for problem in library.problems:
        app.notify(problem, severity="warning", timeout=15, markup=False)
    return PromptPicker(library, name, values)
