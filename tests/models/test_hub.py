"""Hub models: the cache first, the network only when needed, clear words when it fails."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants

from chatbot.errors import ModelError
from chatbot.models import hub, hub_download
from chatbot.models.hub import PullProgress, fetch, pull
from chatbot.models.hub_cache import (
    cached_folder,
    cached_repos,
    remove_repo,
    repo_folder,
    size_of,
)
from tests.models.standin_hub import COMMIT, StandInHub, serving

NAME = "tiny/model"
WEIGHTS = bytes(range(256)) * 4000  # about 1 MB


def quiet(_: PullProgress) -> None:
    """Look away."""


def refusal(name: str = NAME) -> str:
    with pytest.raises(ModelError) as caught:
        pull(name, quiet)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(hub_download.time, "sleep", lambda _: None)


def point_at(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}"
    )


@pytest.fixture
def server(online: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandInHub]:
    with serving() as standing:
        standing.files = {
            "config.json": b'{"model_type": "llama"}',
            "model.safetensors": WEIGHTS,
            "tokenizer.json": b"{}",
            "README.md": b"---\nlicense: mit\n---\n",
            "pytorch_model.bin": b"pickle",
            "modeling_evil.py": b"raise SystemExit",
            "onnx/model.onnx": b"x",
        }
        point_at(standing.url, monkeypatch)
        yield standing


def test_a_model_is_downloaded_once_and_then_needs_no_network(server: StandInHub) -> None:
    assert cached_folder(NAME) is None
    shown: list[PullProgress] = []
    folder = pull(NAME, shown.append)
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert sorted(path.name for path in folder.iterdir()) == [
        *("README.md", "config.json", "model.safetensors", "tokenizer.json")
    ]
    done = [progress.done_bytes for progress in shown]
    assert done == sorted(done)
    assert (
        done[-1]
        == shown[-1].total_bytes
        == sum(len(server.files[path.name]) for path in folder.iterdir())
    )
    asked = len(server.requests)
    assert fetch(NAME, lambda *_: None) == folder
    assert len(server.requests) == asked


def test_code_comes_only_where_it_is_allowed(server: StandInHub) -> None:
    pull(NAME, quiet)
    folder = fetch(NAME, lambda *_: None, with_code=True)
    assert (folder / "modeling_evil.py").is_file()
    assert f"/api/models/{NAME}/revision/{COMMIT}" in {path for path, _, _ in server.requests}
    assert server.num_sent("model.safetensors") == 1


def test_what_breaks_off_is_gone_on_with(server: StandInHub) -> None:
    server.break_off_at, server.num_breaks = 300_000, 2
    folder = pull(NAME, quiet)
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    ranges = [r for path, r, _ in server.requests if path.endswith("model.safetensors")]
    assert ranges == ["", "bytes=300000-", "bytes=600000-"]


def test_a_later_run_goes_on_where_an_earlier_one_ended(server: StandInHub) -> None:
    def give_up(progress: PullProgress) -> None:
        if progress.done_bytes > 600_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull(NAME, give_up)
    assert cached_folder(NAME) is None
    first: list[PullProgress] = []
    folder = pull(NAME, first.append)
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert max(p.done_bytes for p in first[:2]) > 500_000
    ranges = [r for path, r, _ in server.requests if path.endswith("model.safetensors")]
    assert len(ranges) == 2
    assert int(ranges[1].removeprefix("bytes=").rstrip("-")) > 500_000


def test_a_server_that_cannot_go_on_begins_again(server: StandInHub) -> None:
    server.break_off_at, server.num_breaks, server.ignores_ranges = 300_000, 1, True
    assert (pull(NAME, quiet) / "model.safetensors").read_bytes() == WEIGHTS


def test_too_few_bytes_are_refused(server: StandInHub) -> None:
    server.claimed["model.safetensors"] = len(WEIGHTS) + 10
    assert "10 bytes too few" in refusal()
    assert cached_folder(NAME) is None


def test_too_many_bytes_are_refused(server: StandInHub) -> None:
    server.claimed["model.safetensors"] = len(WEIGHTS) - 10
    assert "larger than it should be" in refusal()


def test_another_content_is_refused_and_fetched_anew(server: StandInHub) -> None:
    server.altered["model.safetensors"] = WEIGHTS[:-1] + b"!"
    assert "its hash is wrong" in refusal()
    server.altered.clear()
    assert (pull(NAME, quiet) / "model.safetensors").read_bytes() == WEIGHTS


@pytest.mark.parametrize("at_files", [False, True])
def test_a_gated_model_names_its_page(server: StandInHub, at_files: bool) -> None:
    server.token, server.is_gated_at_files = "right", at_files
    assert "https://huggingface.co/tiny/model" in refusal()
    assert "HF_TOKEN" in refusal()


def test_a_token_that_is_not_let_in(server: StandInHub, monkeypatch: pytest.MonkeyPatch) -> None:
    server.token = "right"
    monkeypatch.setenv("HF_TOKEN", "wrong")
    assert "Your token is not allowed" in refusal()
    monkeypatch.setenv("HF_TOKEN", "right")
    assert pull(NAME, quiet).is_dir()


def test_a_model_that_is_not_there(server: StandInHub) -> None:
    assert "There is no model tiny/other" in refusal("tiny/other")


@pytest.mark.parametrize(("status", "words"), [(503, "out of order"), (429, "too many")])
def test_a_hub_that_is_ill(server: StandInHub, status: int, words: str) -> None:
    server.status = status
    assert words in refusal()


def test_no_network(online: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: refused at once
        point_at(f"http://127.0.0.1:{closed.getsockname()[1]}", monkeypatch)
        assert "cannot be reached" in refusal()


def test_offline_nothing_is_asked(server: StandInHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="switched off"):
        fetch(NAME, lambda *_: None)
    assert server.requests == []


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"config.json": b"{}", "pytorch_model.bin": b"x"}, "can run any code"),
        ({"config.json": b"{}", "model.Q4.gguf": b"x"}, "GGUF files only"),
        ({"config.json": b"{}"}, "no weights"),
        ({"model.safetensors": WEIGHTS}, "incomplete on the hub"),
    ],
)
def test_what_is_of_no_use_is_refused(
    server: StandInHub, files: dict[str, bytes], words: str
) -> None:
    server.files = files
    assert words in refusal()
    assert server.num_sent("pytorch_model.bin") == 0


def test_names_that_lead_out_of_the_folder_are_left_alone(server: StandInHub) -> None:
    server.files["../../evil.json"] = b"{}"
    server.files["/etc/evil.json"] = b"{}"
    folder = pull(NAME, quiet)
    assert not list(folder.parents[3].rglob("evil.json"))


def test_a_full_disk_is_seen_before_the_download(
    server: StandInHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage: Any = type("Usage", (), {"free": 1000})()
    monkeypatch.setattr(hub.shutil, "disk_usage", lambda _: usage)
    assert "kB free" in refusal()
    assert server.num_sent("model.safetensors") == 0


def test_removing_gives_the_space_back(server: StandInHub) -> None:
    pull(NAME, quiet)
    (repo,) = cached_repos()
    assert repo.hub_id == NAME
    num_bytes = size_of(repo_folder(NAME))
    assert num_bytes > len(WEIGHTS)
    assert remove_repo(NAME) == num_bytes
    assert not repo_folder(NAME).exists()
    with pytest.raises(ModelError, match="not in the hub's cache"):
        remove_repo(NAME)


def test_others_can_use_what_was_downloaded(server: StandInHub) -> None:
    pull(NAME, quiet)
    path = huggingface_hub.try_to_load_from_cache(
        NAME, "model.safetensors", cache_dir=constants.HF_HUB_CACHE
    )
    assert Path(str(path)).parent.name == COMMIT
