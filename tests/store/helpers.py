"""What the tests of the store share."""

from pathlib import Path

from chatbot.messages import Making, Message, Role, TextPart
from chatbot.settings import Sampling
from chatbot.store.database import Database
from chatbot.store.values import ChatInfo, StoredChat
from chatbot.store.writing import put_message


def message(
    text: str, role: Role = "user", parent: Message | None = None, id: str | None = None
) -> Message:
    made = making() if role == "assistant" else None
    parent_id = parent.id if parent else None
    if id is None:
        return Message(role=role, parts=(TextPart(text),), parent_id=parent_id, making=made)
    return Message(role=role, parts=(TextPart(text),), parent_id=parent_id, making=made, id=id)


def making(reason: str = "stop") -> Making:
    return Making(
        model="smollm2-135m",
        precision="bf16",
        device="cpu",
        sampling=Sampling(),
        finish_reason=reason,  # type: ignore[arg-type]
    )


def put_exchange(db: Database, question: str = "What?", answer: str = "That.") -> ChatInfo:
    """A chat with one question and its answer."""
    chat = ChatInfo(title=question)
    asked = message(question)
    put_message(db, chat, asked)
    put_message(db, chat, message(answer, "assistant", asked))
    return chat


def branch(*texts: str, title: str = "A chat", id: str | None = None) -> StoredChat:
    """A chat of one branch, questions and answers in turn."""
    messages: list[Message] = []
    for index, text in enumerate(texts):
        above = messages[-1] if messages else None
        role: Role = "assistant" if index % 2 else "user"
        messages.append(message(text, role, above, f"{id}-{index}" if id else None))
    info = ChatInfo(title=title, id=id) if id else ChatInfo(title=title)
    return StoredChat(info=info, messages=tuple(messages), active_leaf=messages[-1].id)


def is_sound(file: Path) -> bool:
    import sqlite3

    with sqlite3.connect(file) as connection:
        return bool(connection.execute("PRAGMA quick_check").fetchall() == [("ok",)])
