"""What the tests of the conversation share."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection

import msgspec

from chatbot.conversation.manager import ConversationManager
from chatbot.events import TextDelta, TurnEvent
from chatbot.messages import Making, Message
from chatbot.settings import Sampling, Settings
from tests.conversation.fake_engine import FakeEngine


class SavedSettings:
    """Stands for the settings file: what was saved, call by call."""

    def __init__(self) -> None:
        self.calls: list[tuple[Settings, tuple[str, ...]]] = []

    def __call__(self, settings: Settings, names: Collection[str]) -> None:
        self.calls.append((settings, tuple(names)))

    @property
    def names(self) -> list[tuple[str, ...]]:
        return [names for _, names in self.calls]


def make_manager(
    engine: FakeEngine, settings: Settings | None = None, save: SavedSettings | None = None
) -> ConversationManager:
    return ConversationManager(engine, settings or Settings(), save or SavedSettings())


def with_settings(**changes: object) -> Settings:
    return msgspec.structs.replace(Settings(), **changes)  # type: ignore[arg-type]


async def all_of(events: AsyncGenerator[TurnEvent]) -> list[TurnEvent]:
    return [event async for event in events]


def text_of(events: Collection[TurnEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def making_of(message: Message | None) -> Making:
    if message is None or message.making is None:
        raise AssertionError(f"no answer: {message!r}")
    return message.making


def unseeded(sampling: Sampling) -> Sampling:
    """The settings without their seed, which may be any number."""
    return msgspec.structs.replace(sampling, seed=None)


async def until(condition: Callable[[], object]) -> None:
    """Let the other tasks run until something holds; a fake needs few steps for anything."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError(f"never: {condition!r}")
