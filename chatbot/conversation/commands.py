"""The slash commands: one table, and one function for each.

A face of the program (TUI, plain text) passes in what the user typed and itself as the
``Face`` that the results are shown on. Knows no widget and no terminal.
"""

import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Final, Protocol

import msgspec

from chatbot.conversation import transcript
from chatbot.conversation.manager import ConversationManager
from chatbot.errors import CommandError, ConfigError
from chatbot.events import TurnEvent
from chatbot.settings import SPECS, find_spec, get_value
from chatbot.terminal_text import clean, clean_line


class Face(Protocol):
    """What a command needs of the screen it was typed on."""

    manager: ConversationManager

    def show_note(self, markdown: str) -> None:
        """Show something to read that is no part of the conversation."""
        ...

    def show_conversation(self) -> None:
        """Draw the conversation anew; another branch or another chat is to be shown."""
        ...

    async def run_turn(self, events: AsyncGenerator[TurnEvent]) -> None:
        """Show an answer as it comes."""
        ...

    def propose(self, text: str) -> None:
        """Put ``text`` where the user types, to be changed and sent."""
        ...

    def copy_text(self, text: str) -> None:
        """Put ``text`` on the clipboard."""
        ...

    def load_model(self) -> None:
        """Load the model that is set, in the background."""
        ...

    def show_settings(self) -> None:
        """Show the settings as they are now."""
        ...

    def set_theme(self, name: str) -> None:
        """Use the theme called ``name``; an empty name lists them."""
        ...

    def leave(self) -> None:
        """End the program."""
        ...


class Command(msgspec.Struct, frozen=True):
    """One slash command."""

    name: str
    arguments: str
    help: str
    run: Callable[[Face, str], Awaitable[None]]

    @property
    def usage(self) -> str:
        """As it is typed: ``/set [NAME [VALUE]]``."""
        return f"/{self.name} {self.arguments}".strip()


async def run_command(face: Face, line: str) -> None:
    """Carry out a line that begins with a slash.

    Raises:
        ChatbotError: the command is unknown, its arguments are wrong, or it failed.
    """
    name, _, arguments = line.strip().removeprefix("/").partition(" ")
    command = COMMANDS.get(name.lower())
    if command is None:
        raise CommandError(f"There is no command /{clean_line(name, 40)}; /help lists them.")
    await command.run(face, arguments.strip())


async def _help(face: Face, arguments: str) -> None:
    lines = ["**Commands**", ""]
    lines += [f"- `{command.usage}` {command.help}" for command in COMMANDS.values()]
    face.show_note("\n".join(lines))


async def _new(face: Face, arguments: str) -> None:
    face.manager.new_chat()
    face.show_conversation()


async def _model(face: Face, arguments: str) -> None:
    if arguments:
        _change(face, "model", arguments)
        return
    info = face.manager.engine.status.info
    if info is None:
        face.show_note(f"`{face.manager.settings.model}` is not loaded yet.")
        return
    face.show_note(
        f"`{info.name}` · {info.num_parameters / 1e6:,.0f} million parameters · "
        f"{info.precision} on {info.device} · window {info.context_length:,} tokens · "
        f"loaded in {info.load_seconds:.1f} s"
    )


async def _system(face: Face, arguments: str) -> None:
    if arguments:
        _change(face, "system_prompt", arguments)
    else:
        face.show_note(f"System prompt:\n\n> {face.manager.settings.system_prompt or '(none)'}")


async def _set(face: Face, arguments: str) -> None:
    name, _, value = arguments.partition(" ")
    settings = face.manager.settings
    if not name:
        lines = [
            f"- `{s.name}` = `{clean_line(s.format(get_value(settings, s.name)))}`: {s.help}"
            for s in SPECS
        ]
        face.show_note("\n".join(["**Settings**", "", *lines]))
        return
    spec = find_spec(name)
    if not value.strip():
        now = clean_line(spec.format(get_value(settings, spec.name)))
        face.show_note(f"`{spec.name}` = `{now}`: {spec.help} Allowed: {spec.allowed}.")
        return
    _change(face, spec.name, value.strip())


def _change(face: Face, name: str, value: str) -> None:
    """Change a setting, and show and use it even where it cannot be written to the disk."""
    try:
        face.manager.change_setting(name, value)
    except ConfigError:
        _use(face, name)
        raise
    _use(face, name)


def _use(face: Face, name: str) -> None:
    face.show_settings()
    if name in ("model", "precision"):
        face.load_model()


async def _theme(face: Face, arguments: str) -> None:
    face.set_theme(arguments)


async def _regen(face: Face, arguments: str) -> None:
    await face.run_turn(face.manager.regenerate())


async def _edit(face: Face, arguments: str) -> None:
    if arguments:
        await face.run_turn(face.manager.edit(arguments))
        return
    question = face.manager.undo()
    face.show_conversation()
    face.propose(question.text)


async def _undo(face: Face, arguments: str) -> None:
    face.manager.undo()
    face.show_conversation()


async def _tokens(face: Face, arguments: str) -> None:
    answer = face.manager.conversation.last("assistant")
    statistics = answer.making.statistics if answer and answer.making else None
    if statistics is None:
        raise CommandError("No answer has been counted yet; ask a question first.")
    face.show_note(
        f"Last answer: {statistics.num_prompt_tokens:,} prompt tokens "
        f"({statistics.num_cached_tokens:,} of them from the cache), "
        f"{statistics.num_new_tokens:,} new tokens, first after "
        f"{statistics.first_token_seconds:.2f} s, then "
        f"{statistics.tokens_per_second:.1f} tokens per second."
    )


async def _context(face: Face, arguments: str) -> None:
    rendered = await face.manager.render_prompt()
    fence = "`" * 4
    text = clean_code(rendered.text)
    face.show_note(f"The prompt, {rendered.num_tokens:,} tokens:\n\n{fence}text\n{text}\n{fence}")


async def _copy(face: Face, arguments: str) -> None:
    answer = face.manager.conversation.last("assistant")
    if answer is None:
        raise CommandError("There is no answer to copy yet.")
    face.copy_text(answer.text)


async def _export(face: Face, arguments: str) -> None:
    file = _file_of(arguments, "/export chat.md")
    transcript.write_text(file, transcript.to_markdown(face.manager.conversation))
    face.show_note(f"The chat is in `{clean_line(str(file))}`.")


async def _save(face: Face, arguments: str) -> None:
    file = _file_of(arguments, "/save chat.json")
    transcript.save(face.manager.conversation, file)
    face.show_note(f"The chat, with all its branches, is in `{clean_line(str(file))}`.")


async def _load(face: Face, arguments: str) -> None:
    face.manager.open(transcript.load(_file_of(arguments, "/load chat.json")))
    face.show_conversation()


async def _quit(face: Face, arguments: str) -> None:
    face.leave()


def _file_of(arguments: str, example: str) -> Path:
    if not arguments:
        raise CommandError(f"Name a file: {example}")
    return Path(arguments)


def clean_code(text: str) -> str:
    """Text for a fence of four backticks: cleaned, and unable to close the fence."""
    return re.sub("```(?=`)", "``` ", clean(text))


COMMANDS: Final = {
    command.name: command
    for command in (
        Command("help", "", "lists the commands.", _help),
        Command("new", "", "begins an empty chat.", _new),
        Command("model", "[NAME]", "shows the model, or loads another one.", _model),
        Command("system", "[TEXT]", "shows or sets the system prompt.", _system),
        Command("set", "[NAME [VALUE]]", "shows or changes a setting.", _set),
        Command("theme", "[NAME]", "lists the colour themes, or uses one.", _theme),
        Command("regen", "", "answers the last question once more.", _regen),
        Command("edit", "[TEXT]", "asks the last question in other words.", _edit),
        Command("undo", "", "takes the last question and its answer back.", _undo),
        Command("tokens", "", "says what the last answer cost.", _tokens),
        Command("context", "", "shows the very text that the model was given.", _context),
        Command("copy", "", "copies the last answer to the clipboard.", _copy),
        Command("export", "FILE", "writes the chat to a new Markdown file.", _export),
        Command("save", "FILE", "writes the chat, with all branches, to a new file.", _save),
        Command("load", "FILE", "opens a chat that /save wrote.", _load),
        Command("quit", "", "ends the program.", _quit),
    )
}
