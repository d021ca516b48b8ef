"""What the tests of the TUI share: waiting for a condition, and looking at what is shown."""

from collections.abc import Callable

import msgspec
from textual import events
from textual.app import App
from textual.keys import _character_to_key
from textual.pilot import Pilot

from chatbot.messages import Message
from chatbot.settings import Settings
from chatbot.tui.app import ChatApp
from chatbot.tui.chat.message_views import AnswerView
from chatbot.tui.chat.question_view import QuestionView

MakeApp = Callable[..., ChatApp]


async def until(pilot: Pilot[int], condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for a condition; when it never holds, fail with what is on the screen."""
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        await pilot.pause(0.02)
    raise AssertionError(f"never: {condition!r}; the screen was\n{screen_text(pilot.app)}")


def screen_text(app: App[int]) -> str:
    """What is on the screen, as lines of text."""
    return "\n".join(strip.text.rstrip() for strip in app.screen._compositor.render_strips())


def with_sampling(**changes: object) -> Settings:
    """Default settings but for some sampling settings."""
    settings = Settings()
    sampling = msgspec.structs.replace(settings.sampling, **changes)  # type: ignore[arg-type]
    return msgspec.structs.replace(settings, sampling=sampling)


def answers(app: ChatApp) -> list[AnswerView]:
    """The answers on the screen, from the top."""
    return list(app.query(AnswerView))


def questions(app: ChatApp) -> list[str]:
    """The texts of the questions on the screen."""
    return [view.text for view in app.query(QuestionView)]


def last_answer(app: ChatApp) -> Message:
    """The last answer that is kept."""
    answer = app.manager.conversation.last("assistant")
    if answer is None:
        raise AssertionError("no answer is kept")
    return answer


def notices(app: ChatApp) -> str:
    """Everything that notifications say now."""
    return "\n".join(notice.message for notice in app._notifications)


def foot(view: AnswerView) -> str:
    """The line under an answer."""
    return str(view._foot.content)


def press(app: App[int], *keys: str) -> None:
    """Press keys at once, as a terminal delivers them.

    The pilot's own ``press`` waits for the app to be idle, which it is not while it streams.
    """
    for key in keys:
        name = _character_to_key(key) if len(key) == 1 else key
        app.post_message(events.Key(name, key if len(key) == 1 else None))


async def filled(pilot: Pilot[int]) -> None:
    """Wait until the sidebar, which comes after the first frame, is there."""
    await until(pilot, lambda: bool(pilot.app.query("#setting-theme Chooser")))
    await pilot.pause()


async def ask(pilot: Pilot[int], text: str) -> None:
    """Type a question and send it."""
    press(pilot.app, *text, "enter")
    await pilot.pause(0)


async def ask_and_wait(pilot: Pilot[int], app: ChatApp, text: str) -> Message:
    """Ask, and wait until the answer is kept and shown."""
    before = len(app.manager.conversation)
    await ask(pilot, text)
    await until(pilot, lambda: len(app.manager.conversation) >= before + 2)
    await until(pilot, lambda: not app._status.is_busy)
    await until(pilot, lambda: not app.screen._layout_required)
    # What was just put under the answer is not always asked to be laid out yet.
    await until(pilot, lambda: all(view.size for view in app.query("AnswerView SourcesView")))
    return last_answer(app)
