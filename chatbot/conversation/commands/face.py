"""What a slash command is, and what it needs of the screen it was typed on.

Knows no widget and no terminal.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from chatbot.conversation.manager import ConversationManager
from chatbot.conversation.prompt_library import PromptLibrary
from chatbot.conversation.prompt_template import FilledPrompt
from chatbot.events import TurnEvent, VariantsEvent
from chatbot.messages import Message, SourcesPart
from chatbot.tokens import TokenRecord


class Face(Protocol):
    """What a command needs of the screen it was typed on."""

    manager: ConversationManager

    @property
    def theme_names(self) -> Sequence[str]:
        """The colour themes there are."""
        ...

    def show_note(self, markdown: str) -> None:
        """Show something to read that is no part of the conversation."""
        ...

    def show_conversation(self) -> None:
        """Draw the conversation anew; another branch or another chat is to be shown."""
        ...

    async def ask(self, text: str, events: AsyncGenerator[TurnEvent]) -> None:
        """Ask a question in its turn, after an answer that is being written.

        Args:
            text: the question, as it comes back where it is not asked in the end.
            events: asks and answers it.
        """
        ...

    async def run_turn(self, events: AsyncGenerator[TurnEvent]) -> None:
        """Show an answer as it comes."""
        ...

    async def run_variants(self, events: AsyncGenerator[VariantsEvent]) -> None:
        """Show several answers to one question as they come."""
        ...

    def begin_edit(self, question: Message) -> None:
        """Have the user put ``question`` in other words; until these are sent, all stays as it
        is."""
        ...

    async def fill_prompt(
        self, library: PromptLibrary, name: str, values: Mapping[str, str]
    ) -> FilledPrompt | None:
        """Have the user choose a prompt and give what it still needs.

        Args:
            library: the prompts there are.
            name: the prompt to begin with; empty when the user is to choose.
            values: what the user gave already.

        Returns:
            The filled prompt, or None when the user would rather not.

        Raises:
            PromptUsageError: something is missing, and there is nobody to ask.
        """
        ...

    def copy_text(self, text: str) -> None:
        """Put ``text`` on the clipboard."""
        ...

    def show_models(self) -> None:
        """Show the models there are, or at least the one that is loaded."""
        ...

    def load_model(self) -> None:
        """Load the model that is set, in the background."""
        ...

    def show_settings(self, changed: str = "") -> None:
        """Show the settings as they are now; ``changed`` names the one that the user changed, of
        which nothing is said otherwise."""
        ...

    def show_sources(self, found: SourcesPart) -> None:
        """Show all that was looked at for an answer, and why each passage ranks as it does."""
        ...

    def show_lens(self, answer_id: str, records: Sequence[TokenRecord]) -> None:
        """Show an answer token by token, with what else might have come."""
        ...

    def set_theme(self, name: str) -> None:
        """Use the theme called ``name``; an empty name lists them."""
        ...

    def leave(self) -> None:
        """End the program."""
        ...


def anything(face: Face, before: Sequence[str]) -> Mapping[str, str]:
    """The words of a command that takes any: none in particular."""
    return {}


def never(words: Sequence[str]) -> bool:
    """Of a command that has no need of the folders."""
    return False


class Command(msgspec.Struct, frozen=True):
    """One slash command."""

    name: str
    arguments: str
    help: str
    run: Callable[[Face, str], Awaitable[None]]
    words: Callable[[Face, Sequence[str]], Mapping[str, str]] = anything
    """What can stand behind the words that are typed, each with what it means.

    Raises:
        ChatbotError: nothing can.
    """
    needs_folders: Callable[[Sequence[str]], bool] = never
    """By the words behind it: whether it finds nothing, or what was there once, while the folders
    are not read. Not where it changes which they are: one that is switched off need not be read."""

    @property
    def usage(self) -> str:
        """As it is typed: ``/set [NAME [VALUE]]``."""
        return f"/{self.name} {self.arguments}".strip()
