"""Slash commands about whole chats: their names, their list, their files."""

import asyncio
import time
from pathlib import Path

from chatbot.conversation.commands.face import Command, Face
from chatbot.conversation.commands.quoting import unquoted
from chatbot.conversation.formats.files import write_new
from chatbot.conversation.formats.markdown import to_markdown
from chatbot.conversation.formats.own_json import to_json
from chatbot.conversation.formats.reading import read_chat
from chatbot.conversation.tree import Conversation
from chatbot.errors import CommandError
from chatbot.store.values import ChatInfo, SearchHit
from chatbot.terminal_text import clean_line


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
    store = face.manager.stored()
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
    await face.manager.open_chat(await face.manager.stored().find_chat(arguments))
    face.show_conversation()


def _chat_line(chat: ChatInfo) -> str:
    day = time.strftime("%Y-%m-%d %H:%M", time.localtime(chat.updated_at))
    pin = " · pinned" if chat.is_pinned else ""
    title = chat.title or "(no title)"
    return f"- `{chat.id[:8]}` {title} · {day} · {chat.num_messages} messages{pin}"


def _hit_line(hit: SearchHit) -> str:
    text = "".join(f"**{run.text}**" if run.is_hit else run.text for run in hit.excerpt)
    title = f"{hit.chat.title}: " if hit.message_id else ""
    return f"- `{hit.chat.id[:8]}` {title}{text}"


async def _export(face: Face, arguments: str) -> None:
    file = _file_of(arguments, "/export chat.md")
    conversation = _begun(face)
    write_new(file, [to_markdown(conversation.path(), conversation.title).encode()])
    face.show_note(f"The chat is in `{clean_line(str(file))}`.")


async def _save(face: Face, arguments: str) -> None:
    file = _file_of(arguments, "/save chat.json")
    write_new(file, [to_json(_begun(face).as_stored(), pretty=True)])
    face.show_note(f"The chat, with all its branches, is in `{clean_line(str(file))}`.")


async def _load(face: Face, arguments: str) -> None:
    file = _file_of(arguments, "/load chat.json")
    chat = await asyncio.to_thread(read_chat, file)
    await face.manager.import_and_open(chat)
    face.show_conversation()


def _begun(face: Face) -> Conversation:
    conversation = face.manager.conversation
    if not conversation:
        raise CommandError("There is nothing in this chat to write yet.")
    return conversation


def _file_of(arguments: str, example: str) -> Path:
    if not arguments:
        raise CommandError(f"Name a file: {example}")
    return Path(unquoted(arguments))


COMMANDS = (
    Command("fork", "", "goes on in a new chat that begins like this one.", _fork),
    Command("rename", "TITLE", "gives the chat another title.", _rename),
    Command("pin", "", "keeps the chat on top of the list, or no longer.", _pin),
    Command("chats", "[WORDS]", "lists the chats, or searches them.", _chats),
    Command("open", "ID", "goes on with another chat.", _open),
    Command("delete", "", "deletes the chat; /undo brings it back.", _delete),
)

FILE_COMMANDS = (
    Command("export", "FILE", "writes the chat to a new Markdown file.", _export),
    Command("save", "FILE", "writes the chat, with all branches, to a new file.", _save),
    Command("load", "FILE", "imports a file with one chat, and opens it.", _load),
)
