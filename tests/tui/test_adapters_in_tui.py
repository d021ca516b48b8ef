"""LoRA adapters in the sidebar: added, weighted, switched and removed between two answers."""

from typing import Any

from textual.widgets import Input

from chatbot.tui.app import ChatApp
from chatbot.tui.sidebar.adapter_list import AdapterList, AdapterPanel
from tests.tui.helpers import (
    MakeApp,
    ask_and_wait,
    filled,
    last_answer,
    notices,
    press,
    screen_text,
    until,
)


def used(app: ChatApp) -> dict[str, float]:
    """What the engine uses now, by its own account."""
    info = app.session.engine.status.info
    return {adapter.path: adapter.weight for adapter in info.adapters} if info else {}


async def add(app: ChatApp, pilot: Any, text: str) -> AdapterList:
    """Type an adapter's folder into the sidebar."""
    panel = app.query_one(AdapterPanel)
    panel.scroll_visible(animate=False)
    field = panel.query_one(Input)
    field.focus()
    field.value = text
    await pilot.press("enter")
    return panel.query_one(AdapterList)


async def test_an_adapter_is_added_weighted_switched_and_removed(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(120, 60)) as pilot:
        await filled(pilot)
        await until(pilot, lambda: app.session.engine.status.info is not None)
        await ask_and_wait(pilot, app, "before")
        assert last_answer(app).making.adapters == ()
        adapters = await add(app, pilot, "~/loras/pirate")
        await until(pilot, lambda: used(app) == {"~/loras/pirate": 1.0})
        await add(app, pilot, "~/loras/poet=0.5")
        await until(pilot, lambda: used(app) == {"~/loras/pirate": 1.0, "~/loras/poet": 0.5})
        await until(pilot, lambda: "☑ poet" in screen_text(app))
        app._prompt.focus()
        await ask_and_wait(pilot, app, "with both")
        assert last_answer(app).making.adapters == ("pirate", "poet x0.5")
        assert "smollm2-135m + pirate + poet x0.5 · bf16" in screen_text(app)

        adapters.focus()
        press(app, "down", "left", "left", "left")
        await until(pilot, lambda: used(app)["~/loras/poet"] == 0.2)
        press(app, "up", "space")
        await until(pilot, lambda: used(app) == {"~/loras/poet": 0.2})
        await until(pilot, lambda: "☐ pirate" in screen_text(app))
        press(app, "right")  # one that is off is weighted for later
        await until(pilot, lambda: "x 1.1" in screen_text(app))
        assert used(app) == {"~/loras/poet": 0.2}
        press(app, "space")
        await until(pilot, lambda: used(app) == {"~/loras/pirate": 1.1, "~/loras/poet": 0.2})
        press(app, "delete")
        await until(pilot, lambda: used(app) == {"~/loras/poet": 0.2})
        press(app, "delete")
        await until(pilot, lambda: used(app) == {})
        await until(pilot, lambda: adapters.rows == ())


async def test_what_is_no_adapter_is_refused_and_the_others_stay(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(120, 60)) as pilot:
        await filled(pilot)
        await until(pilot, lambda: app.session.engine.status.info is not None)
        adapters = await add(app, pilot, "~/loras/pirate")
        await until(pilot, lambda: used(app) == {"~/loras/pirate": 1.0})
        await add(app, pilot, "~/missing")
        await until(pilot, lambda: "There is no adapter" in notices(app))
        await until(pilot, lambda: [row.name for row in adapters.rows] == ["pirate"])
        await add(app, pilot, "~/loras/poet=much")
        await until(pilot, lambda: "must be a number" in notices(app))
        assert used(app) == {"~/loras/pirate": 1.0}


async def test_the_list_follows_the_command_and_the_model(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(120, 60)) as pilot:
        await filled(pilot)
        await until(pilot, lambda: app.session.engine.status.info is not None)
        adapters = app.query_one(AdapterList)
        app.take("/adapter ~/loras/pirate=2")
        await until(pilot, lambda: [(r.name, r.weight) for r in adapters.rows] == [("pirate", 2.0)])
        app.take("/model org/another")
        await until(pilot, lambda: adapters.rows == ())
        assert used(app) == {}
