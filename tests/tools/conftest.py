from collections.abc import Iterator
from pathlib import Path

import pytest

from chatbot.tools.built_in.registry import FUNCTIONS
from chatbot.tools.definitions import define
from chatbot.tools.runner import ToolRunner
from chatbot.tools.values import ToolDefinition
from tests.tools.stand_in import StandIn


@pytest.fixture
def runner(tmp_path: Path) -> ToolRunner:
    return ToolRunner(tmp_path / "logs", tmp_path / "tools.py")


@pytest.fixture(scope="session")
def built_in() -> dict[str, ToolDefinition]:
    return {name: define(function) for name, function in FUNCTIONS.items()}


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with StandIn() as server:
        yield server
