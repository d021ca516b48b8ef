"""The folder that the program was started in may be deleted while it runs."""

import sys
from pathlib import Path

import pytest

from chatbot.commands import bench
from chatbot.conversation.folders import path_of, problem_of
from chatbot.conversation.mentions import mentioned_files, path_of_name
from chatbot.models.listing import list_models
from chatbot.settings import KnowledgeFolder
from chatbot.worker.client import WorkerProcess
from chatbot.worker.protocol import Event


@pytest.fixture
def gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PWD", str(folder))
    folder.rmdir()
    return folder


def test_what_is_named_from_there_is_not_there(gone: Path) -> None:
    assert path_of_name("plan.md") == gone / "plan.md"
    assert mentioned_files("See @plan.md.") == ()
    assert path_of(KnowledgeFolder("notes")) == gone / "notes"
    assert "is not there" in problem_of(KnowledgeFolder("."))


def test_the_models_are_listed(gone: Path) -> None:
    assert "smollm2-135m" in [facts.reference for facts in list_models(["smollm2-135m"])]


def test_a_benchmark_is_started_in_one_that_is_there(
    gone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "where.py").write_text("import os; print(os.getcwd())")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert bench._run("where", []) == 0
    assert capfd.readouterr().out == "/\n"


@pytest.mark.parametrize("is_made_again", [False, True])
async def test_a_worker_is_started_in_one_that_is_there(
    gone: Path, tmp_path: Path, is_made_again: bool
) -> None:
    if is_made_again:
        gone.mkdir()
    log_file = tmp_path / "log"
    script = "import os, sys; sys.stderr.write(os.getcwd())"
    worker: WorkerProcess[Event] = await WorkerProcess.start(
        [sys.executable, "-S", "-c", script], Event, name="the worker", log_file=log_file
    )
    await worker.wait()
    assert log_file.read_text().splitlines()[-1] == str(gone if is_made_again else "/")
