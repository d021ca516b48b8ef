"""The whole TUI on a scripted engine: a real process that speaks the real protocol."""

import itertools
import sys
from collections.abc import Collection
from pathlib import Path

import msgspec
import pytest

from chatbot.config import load_config
from chatbot.engine.client import EngineClient
from chatbot.paths import config_file, log_dir
from chatbot.session import Session
from chatbot.settings import Settings
from chatbot.tui.app import ChatApp
from tests.tui.helpers import MakeApp
from tests.tui.told_folders import QuietFolders

SCRIPTED_ENGINE = Path(__file__).parent.parent / "scripted_engine.py"


@pytest.fixture
def make_app(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> MakeApp:
    """Makes an app; keyword arguments are the script (see ``scripted_engine``).

    ``answer`` is a text, ``settings`` replaces the settings in force for this run alone, and
    ``retrieval`` searches the folders of the settings; without it there are none. ``tools`` are
    those that are on. ``switch`` says whether the model can be told to think or not.
    """
    monkeypatch.setenv("CHATBOT_CACHE_DIR", str(tmp_path / "cache"))
    # The same in every run, so that pictures of the screen are.
    seeds = itertools.count(481516)
    monkeypatch.setattr("chatbot.conversation.seeds.draw_seed", lambda: next(seeds))

    def make(
        *,
        answer: str | None = None,
        settings: Settings | None = None,
        delay: float = 0.01,
        load_seconds: float = 0.0,
        window: int = 8192,
        retrieval: QuietFolders | None = None,
        tools: Collection[str] | None = None,
        switch: str = "none",
    ) -> ChatApp:
        if answer is not None:
            script = tmp_path / "answer.txt"
            script.write_bytes(answer.encode("utf-8", "surrogatepass"))
            monkeypatch.setenv("SCRIPT_ANSWER", str(script))
        monkeypatch.setenv("SCRIPT_DELAY", str(delay))
        monkeypatch.setenv("SCRIPT_SWITCH", switch)
        monkeypatch.setenv("SCRIPT_LOAD_SECONDS", str(load_seconds))
        monkeypatch.setenv("SCRIPT_WINDOW", str(window))
        if retrieval is not None:  # a model that is given more than one source
            monkeypatch.setenv("SCRIPT_PARAMETERS", "500000000")
        config = load_config(config_file())
        in_force = settings or config.settings
        if retrieval is None:
            retrieval = QuietFolders()
            in_force = msgspec.structs.replace(in_force, folders=())
        monkeypatch.setattr("chatbot.session.RetrievalClient", lambda log_file: retrieval)
        session = Session(config, in_force, tools=tools)
        command = (sys.executable, str(SCRIPTED_ENGINE))
        session.engine = EngineClient(log_dir() / "engine.log", command)
        session.manager.engine = session.engine
        return ChatApp(session)

    return make
