"""The slash commands: one table, and one function for each.

A face of the program (TUI, plain text) passes in what the user typed and itself as the
``Face`` that the results are shown on. Knows no widget and no terminal.
"""

from typing import Final

from chatbot.conversation.commands import (
    chats,
    exchange,
    knowledge,
    lens,
    setting,
    stats,
    tools,
    variants,
)
from chatbot.conversation.commands.completing import Completion, common_line, completions
from chatbot.conversation.commands.face import Command, Face
from chatbot.conversation.commands.setting import use_prompt
from chatbot.errors import CommandError
from chatbot.terminal_text import clean_line

__all__ = [
    "COMMANDS",
    "MENTION_HELP",
    "Command",
    "Completion",
    "Face",
    "common_line",
    "complete_command",
    "run_command",
    "use_prompt",
]


MENTION_HELP: Final = ("@FILE", "in a question puts the whole file before it.")
"""What is typed, and what it does; no command, but listed with them."""


async def run_command(face: Face, line: str) -> None:
    """Carry out a line that begins with a slash.

    Raises:
        ChatbotError: the command is unknown, its arguments are wrong, or it failed.
    """
    name, arguments = _split(line)
    command = COMMANDS.get(name.lower())
    if command is None:
        raise CommandError(f"There is no command /{clean_line(name, 40)}; /help lists them.")
    await command.run(face, arguments)


def needs_folders(line: str) -> bool:
    """Whether a line that begins with a slash is to wait until the folders are read."""
    name, arguments = _split(line)
    command = COMMANDS.get(name.lower())
    return command is not None and command.needs_folders(arguments.split())


def _split(line: str) -> tuple[str, str]:
    """The name of a command, and what stands behind it."""
    name, _, arguments = line.strip().removeprefix("/").partition(" ")
    return name, arguments.strip()


def complete_command(face: Face, line: str) -> list[Completion]:
    """Every way to go on with a line that begins with a slash; see ``completions``."""
    return completions(COMMANDS, face, line)


async def _help(face: Face, arguments: str) -> None:
    lines = ["**Commands**", ""]
    rows = [MENTION_HELP, *((command.usage, command.help) for command in COMMANDS.values())]
    lines += [f"- `{usage}` {help}" for usage, help in rows]
    face.show_note("\n".join(lines))


async def _new(face: Face, arguments: str) -> None:
    face.manager.new_chat()
    face.show_conversation()


async def _quit(face: Face, arguments: str) -> None:
    face.leave()


COMMANDS: Final = {
    command.name: command
    for command in (
        Command("help", "", "lists the commands.", _help),
        Command("new", "", "begins an empty chat.", _new),
        *setting.COMMANDS,
        *exchange.COMMANDS,
        *variants.COMMANDS,
        *chats.COMMANDS,
        *knowledge.COMMANDS,
        *tools.COMMANDS,
        stats.COMMAND,
        *exchange.INSIGHT_COMMANDS,
        *lens.COMMANDS,
        *chats.FILE_COMMANDS,
        Command("quit", "", "ends the program.", _quit),
    )
}
