"""A program to be killed: chats, edits, deletes and imports without end, and says what it did.

Each line on standard output is JSON: ``shown`` (so much of an answer was shown, at that
time), ``kept`` (a message that must be there from now on), ``importing``, ``imported``.
"""

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from chatbot.conversation.manager import ConversationManager
from chatbot.engine.protocol.messages import ChatMessage
from chatbot.events import TextDelta, TurnFinished, TurnStarted
from chatbot.messages import Message
from chatbot.settings import Settings
from chatbot.store.chat_store import ChatStore
from tests.conversation.told_engine import FakeEngine
from tests.store.helpers import branch

NUM_IMPORTED = 40


def say(kind: str, **what: object) -> None:
    os.write(1, (json.dumps({"kind": kind, "time": time.monotonic(), **what}) + "\n").encode())


def answer(messages: Sequence[ChatMessage]) -> list[str]:
    tag = messages[-1].content.split()[0]
    return [f"{tag} word {number}, " for number in range(random.randrange(5, 150))]


async def run_turn(manager: ConversationManager, events: object) -> None:
    shown = 0
    answer_id = ""
    async for event in events:  # type: ignore[attr-defined]
        match event:
            case TurnStarted(answer_id=answer_id, text_so_far=text_so_far):
                shown = len(text_so_far)
            case TextDelta(text=text):
                shown += len(text)
                say("shown", chat=manager.conversation.id, message=answer_id, length=shown)
            case TurnFinished(answer=made):
                await manager.settled()
                question = manager.conversation[made.parent_id or ""]
                keep(manager, question)
                keep(manager, made)


def keep(manager: ConversationManager, message: Message) -> None:
    say("kept", chat=manager.conversation.id, message=message.id, text=message.text)


async def main(folder: Path, seed: int) -> None:
    random.seed(seed)
    store = ChatStore(folder)
    problems: list[str] = []
    manager = ConversationManager(
        FakeEngine(answer, seconds=0.004), Settings(), lambda *_: None, store
    )
    manager.on_problem(problems.append)
    await store.list_chats()
    say("ready")
    for number in range(10_000):
        tag = f"{seed}-{number}"
        turn = random.random()
        path = manager.conversation.path()
        if turn < 0.15 or not path:
            if latest := await store.latest_chat():
                await manager.open_chat(latest)
                last = manager.conversation.path()[-1:]
                made = last[0].making if last else None
                if made and made.finish_reason == "interrupted":
                    await run_turn(manager, manager.continue_answer())
            await run_turn(manager, manager.reply(f"{tag} asks " + "something " * 20))
        elif turn < 0.45:
            await run_turn(manager, manager.reply(f"{tag} asks again"))
        elif turn < 0.6:
            await run_turn(manager, manager.regenerate())
        elif turn < 0.7:
            await run_turn(manager, manager.edit(f"{tag} asks in other words"))
        elif turn < 0.75:
            manager.delete_message(path[-1].id)
            await manager.settled()
        elif turn < 0.8:
            manager.new_chat()
        else:
            chats = [
                branch(
                    *(f"{tag} imported {n} " + "text " * 100 for n in range(20)), id=f"i{tag}x{i}"
                )
                for i in range(NUM_IMPORTED)
            ]
            say("importing", tag=tag)
            await store.import_chats(chats)
            say("imported", tag=tag)
        for problem in problems:
            say("problem", text=problem)
        problems.clear()


if __name__ == "__main__":
    assert msgspec.__version__
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
