"""The model screen: priced as the choice changes, and what is chosen there is loaded."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from textual.widgets import OptionList

from chatbot.config import Config
from chatbot.models import hub_download
from chatbot.models.hardware import Device, Hardware
from chatbot.tui.app import ChatApp
from chatbot.tui.models import screen as model_screen
from chatbot.tui.models.screen import ModelScreen
from tests.models.standin_hub import StandInHub, serving
from tests.tui.helpers import MakeApp, notices, screen_text, until

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
        assert re.search(r"15\.0 weights \+ 1\.0 cache \+ \d\.\d program", text)
        assert "does not fit" in text
        await pilot.press("minus", "minus", "minus")
        await until(pilot, lambda: "window 1,024" in screen_text(app))
        assert "15.0 weights + 0.1 cache" in screen_text(app)
        await pilot.press("plus", "plus", "plus", "plus")
        await until(pilot, lambda: "window 16,384" in screen_text(app))
        assert "15.0 weights + 2.0 cache" in screen_text(app)
        await pilot.press("minus")
        await until(pilot, lambda: "window 8,192" in screen_text(app))
        await pilot.press("right")
        await until(pilot, lambda: "8,192 · fp32" in screen_text(app))
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, ModelScreen))
        assert app.manager.settings.precision == "auto"


@pytest.mark.parametrize(("width", "rows"), [(60, 2), (100, 2), (160, 1)])
async def test_a_model_takes_a_line_or_two(make_app: MakeApp, width: int, rows: int) -> None:
    app = make_app()
    async with app.run_test(size=(width, 40)) as pilot:
        await opened(app, pilot)
        lines = screen_text(app).splitlines()
        first, second = (
            next(n for n, line in enumerate(lines) if f"{name} " in line)
            for name in ("smollm2-360m", "smollm2-1.7b")
        )
        assert second - first == rows
        assert "4-bit" in lines[first + rows - 1]
        assert "Esc close" in screen_text(app)


async def test_what_is_chosen_is_loaded(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(app, pilot)
        await go_to(screen, pilot, "qwen3-0.6b")
        await pilot.press("right", "right", "minus", "minus", "enter")
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


CONFIG = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 320,
}
HUB_FILES = {
    "config.json": json.dumps(CONFIG).encode(),
    "model.safetensors": (2).to_bytes(8, "little") + b"{}" + bytes(3_000_000),
}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandInHub]:
    """A hub with a model of three megabytes."""
    with serving() as standing:
        standing.files = HUB_FILES
        url = standing.url
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", url)
        template = url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(hub_download.time, "sleep", lambda _: None)
        yield standing


async def named(app: ChatApp, pilot: Any, reference: str) -> ModelScreen:
    """The model screen with a model that was typed in."""
    screen = await opened(app, pilot)
    await pilot.press("a")
    screen.query_one("#model-reference").value = reference
    await pilot.press("enter")
    await until(pilot, lambda: screen._models[0].reference == reference)
    return screen


async def test_a_model_is_fetched_stopped_gone_on_with_and_removed(
    make_app: MakeApp, hub: StandInHub, tmp_path: Path
) -> None:
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await named(app, pilot, "tiny/model")
        await until(pilot, lambda: "p gets it from the hub" in screen_text(app))
        hub.gate.clear()
        await pilot.press("p")
        await until(pilot, hub.is_sending.is_set)
        await until(pilot, lambda: "x stops" in screen_text(app))
        assert "model.safetensors" in screen_text(app)
        assert "of 3.0 MB" in screen_text(app)
        await pilot.press("p")
        await until(pilot, lambda: "is being downloaded; x stops it" in screen_text(app))
        await pilot.press("x")
        hub.gate.set()  # it is told at its next bytes
        await until(pilot, lambda: "tiny/model: stopped; p goes on" in screen_text(app))
        assert not any(m.is_here and m.reference == "tiny/model" for m in screen._models)

        await go_to(screen, pilot, "tiny/model")
        await pilot.press("p")
        await until(pilot, lambda: "tiny/model is here." in screen_text(app))
        await until(
            pilot, lambda: any(m.is_here and m.reference == "tiny/model" for m in screen._models)
        )
        ranges = [r for path, r, _ in hub.requests if path.endswith("model.safetensors")]
        assert ranges[0] == ""
        assert ranges[1].startswith("bytes=")
        await go_to(screen, pilot, "tiny/model")
        await pilot.press("delete", "delete")
        await until(pilot, lambda: "3.0 MB are free now" in screen_text(app))


async def test_a_download_that_fails_says_why(make_app: MakeApp, hub: StandInHub) -> None:
    hub.status = 404  # with no word of why, as a proxy gives it
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await named(app, pilot, "tiny/model")
        await pilot.press("p")
        await until(pilot, lambda: "no model tiny/model on the hub" in screen_text(app))


async def test_models_of_the_users_folders_are_listed(
    make_app: MakeApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models" / "mine").mkdir(parents=True)
    for name, content in HUB_FILES.items():
        (tmp_path / "models" / "mine" / name).write_bytes(content)
    (tmp_path / "models" / "cut.gguf").write_bytes(b"GGUF")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    app = make_app()
    app.session.config = Config(model_folders=(str(tmp_path / "models"),))
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(app, pilot)
        found = {m.reference: m for m in screen._models}
        assert found[str(tmp_path / "models" / "cut.gguf")].problem
        mine = str(tmp_path / "models" / "mine")
        assert found[mine].is_here
        await go_to(screen, pilot, mine)
        await until(pilot, lambda: "fp32 ✓" in screen_text(app))
        await pilot.press("enter")
        await until(pilot, lambda: app.manager.settings.model == mine)


async def test_the_window_in_the_sidebar_says_what_it_takes(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app(window=4096)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.session.engine.status.info is not None)
        app.take("/set context_length 1024")
        await until(pilot, lambda: "The window is 1,024 tokens" in screen_text(app))
        assert app.session.engine.options.context_length == 1024
        assert app._status.context_length == 1024
        await until(pilot, lambda: bool(app.query("#setting-context_length")))
        app.query_one("#setting-context_length").choose("100000")
        await until(pilot, lambda: "was made for 4,096 tokens" in notices(app))
        assert app._status.context_length == 4096
