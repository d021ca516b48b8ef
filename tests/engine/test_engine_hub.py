"""Hub models: the cache first, the network only when needed, clear words when it fails."""

import importlib
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants, errors

from chatbot.engine import hub
from chatbot.errors import ModelError

# The HTTP library of the hub's client, whichever that is.
http = importlib.import_module(errors.HTTPError.__module__.partition(".")[0])


class FakeHub:
    """Stands in for ``snapshot_download``."""

    def __init__(self, cached: Path | None, online: Path | Exception) -> None:
        self.cached = cached
        self.online = online
        self.num_downloads = 0

    def __call__(self, hub_id: str, **options: Any) -> str:
        if options.get("local_files_only"):
            if self.cached is None:
                raise errors.LocalEntryNotFoundError("not cached")
            return str(self.cached)
        self.num_downloads += 1
        if isinstance(self.online, Exception):
            raise self.online
        bar = options["tqdm_class"](total=100, unit="B", desc="x")
        bar.update(40)
        bar.update(60)
        bar.close()
        return str(self.online)


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)

    def make(cached: Path | None, online: Path | Exception) -> FakeHub:
        fake = FakeHub(cached, online)
        monkeypatch.setattr(huggingface_hub, "snapshot_download", fake)
        return fake

    return make


def response(status: int) -> http.Response:
    return http.Response(status, request=http.Request("GET", "http://hub.invalid"))


def test_a_cached_model_needs_no_network(install: Any, tiny_folder: Path) -> None:
    fake = install(tiny_folder, RuntimeError("network was used"))
    assert hub.fetch("org/name", print) == tiny_folder
    assert fake.num_downloads == 0


@pytest.mark.parametrize("is_disabled", ["0", "1"])
def test_a_download_says_how_far_it_is(
    install: Any, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, is_disabled: str
) -> None:
    monkeypatch.setenv("TQDM_DISABLE", is_disabled)
    install(None, tiny_folder)
    reports: list[tuple[str, float | None]] = []
    assert hub.fetch("org/name", lambda *report: reports.append(report)) == tiny_folder
    assert reports == [
        ("Downloading org/name", None),
        ("Downloading org/name", 0.4),
        ("Downloading org/name", 1.0),
    ]


def test_an_incomplete_download_is_resumed(install: Any, tiny_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    fake = install(tmp_path, tiny_folder)
    assert hub.fetch("org/name", lambda *_: None) == tiny_folder
    assert fake.num_downloads == 1


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (errors.GatedRepoError("x", response=response(403)), "accept them"),
        (errors.RepositoryNotFoundError("x", response=response(404)), "There is no model"),
        (errors.LocalEntryNotFoundError("x"), "cannot be reached"),
        (http.ConnectError("x"), "cannot be reached"),
        (http.ReadTimeout("x"), "cannot be reached"),
        (OSError(28, "No space left on device"), "disk is too full"),
        (ValueError("something else. And more."), "something else"),
    ],
)
def test_each_failure_has_its_sentence(install: Any, error: Exception, words: str) -> None:
    install(None, error)
    with pytest.raises(ModelError, match=words):
        hub.fetch("org/name", lambda *_: None)


def test_offline_nothing_is_tried(install: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = install(None, RuntimeError("network was used"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="not on this machine"):
        hub.fetch("org/name", lambda *_: None)
    assert fake.num_downloads == 0
