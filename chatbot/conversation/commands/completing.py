"""What a slash command, or the name of a file, that is being typed could become.

Knows the commands and what each takes; no widget and no terminal.
"""

from collections.abc import Mapping, Sequence
from os.path import commonprefix

import msgspec

from chatbot.conversation.commands.face import Command, Face
from chatbot.conversation.mentions import begun_mention, file_words
from chatbot.errors import ChatbotError
from chatbot.terminal_text import clean_line


class Completion(msgspec.Struct, frozen=True):
    """One way to go on."""

    line: str
    """The whole line, as it would be then."""
    shown: str
    help: str


def completions(commands: Mapping[str, Command], face: Face, line: str) -> list[Completion]:
    """Every way to go on with ``line``, which ends in a file's name or begins with a slash.

    Of a command that takes anything, and of one that is finished, there is one way: as it is.

    Args:
        commands: by their names.
        face: where it is typed.
        line: as far as it is typed.
    """
    if found := _files(line):
        return found
    if not line.startswith("/") or "\n" in line:
        return []
    name, space, arguments = line[1:].partition(" ")
    if not space:
        return [
            Completion(line=f"/{c.name}", shown=c.usage, help=c.help)
            for c in commands.values()
            if c.name.startswith(name.lower())
        ]
    command = commands.get(name.lower())
    if command is None:
        return []
    typed = arguments.split(" ")
    # Names of files and folders have spaces, so that the last word may begin further ahead.
    for number in reversed(range(len(typed))):
        begun = " ".join(typed[number:])
        words = _words(command, face, typed[:number])
        found = [
            Completion(line=line[: len(line) - len(begun)] + word, shown=word, help=help)
            for word, help in words.items()
            if word.lower().startswith(begun.lower())
        ]
        if found:
            return found
    return [Completion(line=line, shown=command.usage, help=command.help)]


def _files(line: str) -> list[Completion]:
    mention = begun_mention(line)
    if mention is None:
        return []
    before = line[: mention.start]
    words = file_words(mention.name)
    return [Completion(line=before + word, shown=word, help=help) for word, help in words.items()]


def _words(command: Command, face: Face, before: Sequence[str]) -> Mapping[str, str]:
    try:
        words = command.words(face, before)
    except ChatbotError:  # what stands before is wrong already; to run it says so
        return {}
    # Names come from files, folders and servers.
    return {clean_line(word, 500): clean_line(help) for word, help in words.items()}


def common_line(found: Sequence[Completion], line: str) -> str:
    """``line`` as far as it is the same in all that it could become."""
    longest = commonprefix([completion.line for completion in found])  # noqa: RUF071 - characters
    if len(found) == 1 and not longest.endswith((" ", "/")):  # behind a folder goes what is in it
        longest += " "
    return longest if len(longest) > len(line) else line
