"""The model screen: priced as the choice changes, and what is chosen there is loaded."""

import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from textual.widgets import OptionList

from chatbot.models.hardware import Device, Hardware
from chatbot.tui import model_screen
from chatbot.tui.app import ChatApp
from chatbot.tui.model_screen import ModelScreen
from tests.tui.helpers import MakeApp, screen_text, until

GIB = 2**30


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine with one card of 10 GiB, 4 GiB of RAM, and an empty hub cache."""

    def device(kind: Any, name: str, size: int) -> Device:
        return Device(kind=kind, name=name, free_bytes=size * GIB, total_bytes=size * GIB)

    here = Hardware(gpus=(device("cuda", "Card", 10),), ram=device("cpu", "RAM", 4))
    monkeypatch.setattr(model_screen, "look", lambda: here)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


def screen_of(app: ChatApp) -> ModelScreen:
    assert isinstance(app.screen, ModelScreen)
    return app.screen


async def opened(app: ChatApp, pilot: Any) -> ModelScreen:
    await until(pilot, lambda: app.session.engine.status.info is not None)
    await pilot.press("ctrl+o")
    await until(pilot, lambda: isinstance(app.screen, ModelScreen))
    await until(pilot, lambda: app.screen.query_one(OptionList).option_count > 20)
    return screen_of(app)


async def go_to(screen: ModelScreen, pilot: Any, name: str) -> None:
    names = [facts.reference for facts in screen._models]
    screen.query_one(OptionList).highlighted = names.index(name)
    await pilot.pause()


async def test_models_are_priced_as_the_choice_changes(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(app, pilot)
        await go_to(screen, pilot, "llama-3.1-8b")
        text = screen_text(app)
        assert "Card" in text
        assert "10.0 GiB free" in text
        # 15.0 GiB of weights, 1.0 of cache for 8,192 tokens
        assert "15.0 weights + 1.0 cache" in text
        assert "does not fit" in text
        await pilot.press("plus")
        await until(pilot, lambda: "window 1,024" in screen_text(app))
        assert "15.0 weights + 0.1 cache" in screen_text(app)
        for _ in range(4):
            await pilot.press("plus")
        await until(pilot, lambda: "window 16,384" in screen_text(app))
        assert "15.0 weights + 2.0 cache" in screen_text(app)
        await pilot.press("minus")
        await until(pilot, lambda: "window 8,192" in screen_text(app))
        await pilot.press("right")
        await until(pilot, lambda: "8,192 · fp32" in screen_text(app))
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, ModelScreen))
        assert app.manager.settings.precision == "auto"


async def test_what_is_chosen_is_loaded(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(app, pilot)
        await go_to(screen, pilot, "qwen3-0.6b")
        await pilot.press("right", "right", "plus", "plus", "enter")
        await until(pilot, lambda: not isinstance(app.screen, ModelScreen))
        settings = app.manager.settings
        assert (settings.model, settings.precision) == ("qwen3-0.6b", "bf16")
        assert settings.context_length == 2048
        info = lambda: app.session.engine.status.info  # noqa: E731
        await until(pilot, lambda: info() is not None and info().name == "qwen3-0.6b")


async def test_what_does_not_fit_is_asked_about(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(app, pilot)
        await go_to(screen, pilot, "llama-2-13b")
        await pilot.press("right", "right", "enter")
        await until(pilot, lambda: "Enter again loads it" in screen_text(app))
        assert "4-bit" in screen_text(app)
        assert isinstance(app.screen, ModelScreen)
        await pilot.press("enter")
        await until(pilot, lambda: not isinstance(app.screen, ModelScreen))
        assert app.manager.settings.model == "llama-2-13b"
        assert "llama-2-13b" in app.session.engine.options.forced


async def test_a_folder_is_added_and_a_damaged_one_says_why(
    make_app: MakeApp, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(app, pilot)
        await pilot.press("a")
        screen.query_one("#model-reference").value = str(folder)
        await pilot.press("enter")
        await until(pilot, lambda: screen._models[0].reference == str(folder))
        await until(pilot, lambda: "incomplete: it has no hidden_size" in screen_text(app))
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, ModelScreen)


async def test_the_command_opens_it(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.session.engine.status.info is not None)
        app.take("/model")
        await until(pilot, lambda: isinstance(app.screen, ModelScreen))
        await until(pilot, lambda: app.screen.query_one(OptionList).option_count > 20)
        assert "Enter load" in screen_text(app)


async def test_nothing_loaded_is_removed_and_removing_asks(
    make_app: MakeApp, tmp_path: Path
) -> None:
    snapshot = tmp_path / "hub" / "models--tiny--model" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (snapshot / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    refs = tmp_path / "hub" / "models--tiny--model" / "refs"
    refs.mkdir()
    (refs / "main").write_text("0" * 40)
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(app, pilot)
        await go_to(screen, pilot, "smollm2-135m")
        await pilot.press("delete")
        await until(pilot, lambda: "load another one first" in screen_text(app))
        await go_to(screen, pilot, "tiny/model")
        await pilot.press("delete")
        await until(pilot, lambda: "Delete once more" in screen_text(app))
        assert snapshot.is_dir()
        await pilot.press("delete")
        await until(pilot, lambda: "are free now" in screen_text(app))
        assert not snapshot.exists()
