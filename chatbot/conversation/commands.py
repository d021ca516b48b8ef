"""The slash commands: one table, and one function for each.

A face of the program (TUI, plain text) passes in what the user typed and itself as the
``Face`` that the results are shown on. Knows no widget and no terminal.
"""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final, Protocol

import msgspec

from chatbot.conversation.formats.files import write_new
from chatbot.conversation.formats.markdown import to_markdown
from chatbot.conversation.formats.own_json import to_json
from chatbot.conversation.formats.reading import read_chat
from chatbot.conversation.manager import ConversationManager
from chatbot.conversation.prompt_arguments import parse_arguments
from chatbot.conversation.prompt_library import PromptLibrary, load_library
from chatbot.conversation.prompt_template import FilledPrompt
from chatbot.errors import CommandError, ConfigError, StoreError
from chatbot.events import TurnEvent
from chatbot.settings import SPECS, find_spec, get_value
from chatbot.store.chat_store import ChatStore
from chatbot.store.values import ChatInfo, SearchHit
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


async def _prompt(face: Face, arguments: str) -> None:
    library = load_library()
    name, _, rest = arguments.partition(" ")
    values: Mapping[str, str] = {}
    if name:
        prompt = library.get(name)
        values = parse_arguments(prompt, rest)
        if not prompt.missing(values):
            await use_prompt(face, prompt.fill(values))
            return
    filled = await face.fill_prompt(library, name, values)
    if filled is not None:
        await use_prompt(face, filled)


async def use_prompt(face: Face, filled: FilledPrompt) -> None:
    """Send a filled prompt, or take on its persona.

    Raises:
        ChatbotError: an answer is being written, or the system prompt could not be kept.
    """
    prompt = filled.prompt
    if prompt.kind == "persona":
        face.manager.change_setting("system_prompt", filled.text)
        face.show_settings()
        face.show_note(
            f"The model is now `{prompt.name}`, from the next question on; "
            f"`/system` shows the system prompt, `/prompt assistant` takes it back."
        )
        return
    await face.run_turn(face.manager.reply(filled.text, prompt.settings))


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
    if not await face.manager.undo_deletion():
        face.manager.undo()
    face.show_conversation()


async def _continue(face: Face, arguments: str) -> None:
    await face.run_turn(face.manager.continue_answer())


async def _fork(face: Face, arguments: str) -> None:
    face.manager.fork()
    face.show_conversation()


async def _rename(face: Face, arguments: str) -> None:
    face.manager.rename(arguments)
    face.show_note(f"The chat is called **{face.manager.conversation.title}**.")


async def _pin(face: Face, arguments: str) -> None:
    conversation = face.manager.conversation
    conversation.pin(not conversation.is_pinned)
    face.show_note("The chat is pinned." if conversation.is_pinned else "The chat is unpinned.")


async def _delete(face: Face, arguments: str) -> None:
    title = face.manager.conversation.title
    await face.manager.delete_chat()
    face.show_conversation()
    face.show_note(f"Deleted **{title}**; `/undo` brings it back.")


async def _chats(face: Face, arguments: str) -> None:
    store = _store(face)
    if arguments:
        hits = await store.search(arguments, limit=10)
        lines = [_hit_line(hit) for hit in hits]
    else:
        lines = [_chat_line(chat) for chat in await store.list_chats(limit=20)]
    if not lines:
        face.show_note("No chat matches." if arguments else "There are no chats yet.")
        return
    face.show_note("\n".join(["**Chats** (`/open ID` goes on with one)", "", *lines]))


async def _open(face: Face, arguments: str) -> None:
    if not arguments:
        raise CommandError("Name a chat by the beginning of its id; /chats lists them.")
    await face.manager.open_chat(await _store(face).find_chat(arguments))
    face.show_conversation()


def _store(face: Face) -> ChatStore:
    if face.manager.store is None:
        raise StoreError("Chats are not kept in this run; start without --no-save.")
    return face.manager.store


def _chat_line(chat: ChatInfo) -> str:
    day = time.strftime("%Y-%m-%d %H:%M", time.localtime(chat.updated_at))
    pin = " · pinned" if chat.is_pinned else ""
    title = chat.title or "(no title)"
    return f"- `{chat.id[:8]}` {title} · {day} · {chat.num_messages} messages{pin}"


def _hit_line(hit: SearchHit) -> str:
    text = "".join(f"**{run.text}**" if run.is_hit else run.text for run in hit.excerpt)
    title = f"{hit.chat.title}: " if hit.message_id else ""
    return f"- `{hit.chat.id[:8]}` {title}{text}"


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
    conversation = face.manager.conversation
    write_new(file, [to_markdown(conversation.path(), conversation.title).encode()])
    face.show_note(f"The chat is in `{clean_line(str(file))}`.")


async def _save(face: Face, arguments: str) -> None:
    file = _file_of(arguments, "/save chat.json")
    write_new(file, [to_json(face.manager.conversation.as_stored(), pretty=True)])
    face.show_note(f"The chat, with all its branches, is in `{clean_line(str(file))}`.")


async def _load(face: Face, arguments: str) -> None:
    file = _file_of(arguments, "/load chat.json")
    chat = await asyncio.to_thread(read_chat, file)
    await face.manager.import_and_open(chat)
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
        Command("prompt", "[NAME [TEXT]]", "uses a prompt of the library, or lists them.", _prompt),
        Command("theme", "[NAME]", "lists the colour themes, or uses one.", _theme),
        Command("regen", "", "answers the last question once more.", _regen),
        Command("edit", "[TEXT]", "asks the last question in other words.", _edit),
        Command("continue", "", "goes on with an answer that was cut off.", _continue),
        Command("undo", "", "brings a deletion back, else takes the last exchange back.", _undo),
        Command("fork", "", "goes on in a new chat that begins like this one.", _fork),
        Command("rename", "TITLE", "gives the chat another title.", _rename),
        Command("pin", "", "keeps the chat on top of the list, or no longer.", _pin),
        Command("chats", "[WORDS]", "lists the chats, or searches them.", _chats),
        Command("open", "ID", "goes on with another chat.", _open),
        Command("delete", "", "deletes the chat; /undo brings it back.", _delete),
        Command("tokens", "", "says what the last answer cost.", _tokens),
        Command("context", "", "shows the very text that the model was given.", _context),
        Command("copy", "", "copies the last answer to the clipboard.", _copy),
        Command("export", "FILE", "writes the chat to a new Markdown file.", _export),
        Command("save", "FILE", "writes the chat, with all branches, to a new file.", _save),
        Command("load", "FILE", "imports a file with one chat, and opens it.", _load),
        Command("quit", "", "ends the program.", _quit),
    )
}
