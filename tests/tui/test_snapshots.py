"""Pictures of the screen, at the smallest size that is promised and at a large one.

After a change that is meant: ``.venv/bin/pytest tests/tui/test_snapshots.py --snapshot-update``,
and look at what changed.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from chatbot.settings import KnowledgeFolder, Settings
from chatbot.tui.app import ChatApp
from tests.tui.helpers import (
    MakeApp,
    answers,
    ask,
    ask_and_wait,
    filled,
    press,
    screen_text,
    until,
    with_sampling,
)
from tests.tui.told_folders import ToldFolders, embedding

SIZES = {"small": (80, 24), "large": (160, 48)}
ANSWER = """\
Paris is the **capital** of France, and *also* its largest city.

1. It lies on the Seine.
2. It has about 2.1 million people.

```python
def capital(country: str) -> str:
    return {"France": "Paris"}[country]
```

| city | river |
|---|---|
| Paris | Seine |
| Lyon | Rhône |
"""

Steps = Callable[[Pilot[int], ChatApp], Awaitable[None]]


@pytest.fixture(params=SIZES)
def compare(request: pytest.FixtureRequest, snap_compare: Any, make_app: MakeApp) -> Any:
    """Compares the screen after some steps with the kept picture of it."""

    def check(steps: Steps, **script: Any) -> bool:
        app = make_app(**{"answer": ANSWER, "delay": 0.0, **script})

        async def before(pilot: Pilot[int]) -> None:
            app._prompt.cursor_blink = False
            await filled(pilot)
            await until(pilot, lambda: app.session.engine.status.state == "ready")
            await until(pilot, lambda: app._ribbon.built is not None)
            await steps(pilot, app)
            await pilot.pause()
            await until(pilot, lambda: not app.workers._workers)
            await pilot.pause()

        return bool(snap_compare(app, terminal_size=SIZES[request.param], run_before=before))

    return check


def test_start(compare: Any) -> None:
    async def steps(pilot: Pilot[int], app: ChatApp) -> None:
        pass

    assert compare(steps)


def test_answer(compare: Any) -> None:
    async def steps(pilot: Pilot[int], app: ChatApp) -> None:
        await ask_and_wait(pilot, app, "What is the capital of France?")

    assert compare(steps)


def test_refused_setting(compare: Any) -> None:
    async def steps(pilot: Pilot[int], app: ChatApp) -> None:
        app._sidebar.display = True
        await pilot.pause()
        app.query_one("#setting-temperature NumberInput").focus()
        app.query_one("#setting-temperature NumberInput").cursor_blink = False  # type: ignore[attr-defined]
        await pilot.pause()
        await pilot.press("9", "enter")

    assert compare(steps)


def test_left_out_messages(compare: Any) -> None:
    async def steps(pilot: Pilot[int], app: ChatApp) -> None:
        for question in ("What is the capital of France?", "And of Italy?", "And of Spain?"):
            await ask_and_wait(pilot, app, question)

    assert compare(steps, window=70, answer="It is a city on a river.")


def test_ribbon(compare: Any) -> None:
    async def steps(pilot: Pilot[int], app: ChatApp) -> None:
        await ask_and_wait(pilot, app, "What is the capital of France?")
        await until(pilot, lambda: len(app._ribbon.costs) == 1)
        await pilot.press("f3")

    assert compare(steps, answer="It is Paris.")  # so short that nothing has to be scrolled


def test_hints(compare: Any) -> None:
    async def steps(pilot: Pilot[int], app: ChatApp) -> None:
        await pilot.press("/", "s")

    assert compare(steps)


def test_help(compare: Any) -> None:
    async def steps(pilot: Pilot[int], app: ChatApp) -> None:
        await pilot.press("f1")
        app.screen.query_one("#help-search").cursor_blink = False  # type: ignore[attr-defined]
        await pilot.pause()

    assert compare(steps)


def test_palette(compare: Any) -> None:
    async def steps(pilot: Pilot[int], app: ChatApp) -> None:
        await pilot.press("ctrl+p")
        await until(pilot, lambda: "/adapter" in screen_text(app))
        app.screen.query_one(Input).cursor_blink = False
        await pilot.pause()

    assert compare(steps)


def test_day_theme(compare: Any) -> None:
    async def steps(pilot: Pilot[int], app: ChatApp) -> None:
        await ask(pilot, "/theme day")
        await until(pilot, lambda: app.theme == "day")
        await ask_and_wait(pilot, app, "What is the capital of France?")

    assert compare(steps)


KNOWLEDGE_ANSWER = """\
Top-p is a **sampling** setting. Top-p keeps the fewest likeliest tokens whose probabilities add \
up to this share. Its other name was chosen by the queen of Denmark.

Nucleus sampling is another name for top-p: the smallest set of tokens that holds the share.
"""

NOTES = "/tmp/chatbot-notes"
"""As it is on the pictures; the folder is made, so that it is there."""


@pytest.fixture
def told() -> Any:
    """Retrieval that finds what is written down in ``told_folders``."""
    folder = Path(NOTES)
    folder.mkdir(exist_ok=True)
    folders = ToldFolders(folder)
    settings = msgspec.structs.replace(
        Settings(),
        folders=(KnowledgeFolder(NOTES), KnowledgeFolder("/tmp/chatbot-papers", is_on=False)),
    )
    return {"retrieval": folders, "settings": settings, "answer": KNOWLEDGE_ANSWER}


def in_turn(*steps: str | Callable[[ChatApp], bool]) -> Steps:
    """Steps of keys, and of conditions to wait for."""

    async def run(pilot: Pilot[int], app: ChatApp) -> None:
        for step in steps:
            if callable(step):
                await until(pilot, partial(step, app))
            elif step == "ask":
                await ask_and_wait(pilot, app, "What does top-p do?")
            else:
                await pilot.press(*step.split())
            await pilot.pause()

    return run


def shows(text: str) -> Callable[[ChatApp], bool]:
    """Whether a text is on the screen."""
    return lambda app: text in screen_text(app)


def test_answer_with_sources(compare: Any, told: Any) -> None:
    assert compare(in_turn("ask"), **told)


def test_passage(compare: Any, told: Any) -> None:
    assert compare(in_turn("ask", "ctrl+t 1", shows("### Top-k")), **told)


def test_sources(compare: Any, told: Any) -> None:
    assert compare(in_turn("ask", "ctrl+t s", shows("irrelevant")), **told)


def test_knowledge_folders(compare: Any, told: Any) -> None:
    def report(app: ChatApp) -> bool:
        told["retrieval"].report(embedding(NOTES))
        app.clear_notifications()
        return True

    assert compare(in_turn("f4", report, shows("embedding 63%")), **told)


def test_knowledge_documents(compare: Any, told: Any) -> None:
    assert compare(in_turn("f4 f6", shows("paper.pdf"), shows("Nucleus")), **told)


def test_knowledge_query(compare: Any, told: Any) -> None:
    def still(app: ChatApp) -> bool:
        app.screen.query_one("#query-text").cursor_blink = False  # type: ignore[attr-defined]
        return True

    keys = "f4 f6 f6", still, " ".join("tokens"), shows("5 passages")
    assert compare(in_turn(*keys), **told)


def test_knowledge_map(compare: Any, told: Any) -> None:
    assert compare(in_turn("f4 f5", shows("themes"), shows("# Settings")), **told)


def test_lens(compare: Any) -> None:
    assert compare(in_turn("ask", "ctrl+t t", shows("by the model"), "n n enter"))


def test_lens_temperatures(compare: Any) -> None:
    assert compare(in_turn("ask", "ctrl+t t", shows("by the model"), "n t m"))


def test_thinking(compare: Any) -> None:
    async def steps(pilot: Pilot[int], app: ChatApp) -> None:
        await ask_and_wait(pilot, app, f"think {'The user asks for a capital. ' * 9}")
        await until(pilot, lambda: "✂ thinking" in screen_text(app))
        answers(app)[-1].focus()
        press(app, "x")
        await until(pilot, lambda: "┊ The user" in screen_text(app))

    assert compare(steps, answer="It is Paris.")


SEVERAL = "It stands on the rock behind the harbour, and its light is seen for twenty miles."


@pytest.mark.parametrize(
    "command",
    ["/variants 3", "/beam 3", "/compare precision fp32 8-bit"],
    ids=["variants", "beams", "comparison"],
)
def test_several_answers(compare: Any, command: str) -> None:
    async def steps(pilot: Pilot[int], app: ChatApp) -> None:
        await ask_and_wait(pilot, app, "Where is the lighthouse?")
        await ask(pilot, command)
        await until(pilot, lambda: "Esc back" in screen_text(app))
        press(app, "right")

    assert compare(steps, answer=SEVERAL, settings=with_sampling(seed=1))
