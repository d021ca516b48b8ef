from collections.abc import Iterator
from pathlib import Path

import pytest

from chatbot.store.database import Database


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def db(folder: Path) -> Iterator[Database]:
    database = Database(folder)
    yield database
    database.close()
