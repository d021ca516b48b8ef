"""What the doctor says of the model, and of accelerators and bitsandbytes by what torch found."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chatbot.commands import doctor
from chatbot.models.hardware import Device, Hardware
from chatbot.weights import EMBEDDED

CARD = {
    "name": "NVIDIA H100",
    "kind": "cuda",
    "free_bytes": 70 * 2**30,
    "total_bytes": 80 * 2**30,
    "bf16": True,
    "capability": "9.0",
}
WORKING = {
    "torch": "2.13.0",
    "cuda_build": "13.0",
    "devices": [CARD],
    "bitsandbytes": "0.50.2",
    "quantised": {"8-bit": "", "4-bit": ""},
    "error": "",
}


def checks(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> dict[str, doctor.Check]:
    monkeypatch.setattr(doctor, "_probe", lambda: {**WORKING, **changes})
    return {check.name: check for check in doctor._devices()}


@pytest.fixture
def no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda _: None)


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/bin/{name}")
    answer = subprocess.CompletedProcess([], 0, stdout="580.65.06\n")
    monkeypatch.setattr(doctor.subprocess, "run", lambda *_, **__: answer)


def test_a_card_that_works(monkeypatch: pytest.MonkeyPatch, driver: None) -> None:
    found = checks(monkeypatch)
    assert found["accelerator"].found == ("NVIDIA H100, 70.0 GiB of 80.0 GiB free, capability 9.0")
    assert found["GPU driver"].found == "NVIDIA 580.65.06; torch is built for CUDA 13.0"
    assert found["8-bit and 4-bit"].found == "both work on the GPU by bitsandbytes 0.50.2"
    assert all(check.state == "ok" for check in found.values())


def test_an_older_card(monkeypatch: pytest.MonkeyPatch, driver: None) -> None:
    old = {**CARD, "bf16": False, "capability": "7.5"}
    assert "no bf16: fp16 is used" in checks(monkeypatch, devices=[old])["accelerator"].found


def test_a_card_that_torch_was_not_built_for(monkeypatch: pytest.MonkeyPatch, driver: None) -> None:
    found = checks(monkeypatch, devices=[], cuda_build="")
    assert found["accelerator"].state == "note"
    assert "CPU build" in found["accelerator"].remedy
    assert found["GPU driver"].found.endswith("torch is built for the CPU")


def test_no_card(monkeypatch: pytest.MonkeyPatch, no_driver: None) -> None:
    here = {"num_threads": 2, "instructions": "AVX2", "packed": {"8-bit": "", "4-bit": ""}}
    found = checks(monkeypatch, devices=[], cuda_build="", **here)
    assert found["accelerator"].found.startswith("none; the CPU is used, 2 threads, AVX2")
    assert found["accelerator"].remedy == ""
    assert "both work on the CPU by kernels of our own" in found["8-bit and 4-bit"].found
    here["packed"] = {"8-bit": "", "4-bit": "RuntimeError: no kernel"}
    check = checks(monkeypatch, devices=[], **here)["8-bit and 4-bit"]
    assert (check.state, check.found) == (
        "note",
        "4-bit fail on this processor (RuntimeError: no kernel)",
    )


def test_an_amd_card_that_torch_was_not_built_for(
    monkeypatch: pytest.MonkeyPatch, no_driver: None, tmp_path: Path
) -> None:
    ram = Device(kind="cpu", name="RAM", free_bytes=1, total_bytes=1)
    card = Device(kind="rocm", name="AMD GPU", free_bytes=1, total_bytes=1)
    monkeypatch.setattr(doctor, "look", lambda: Hardware(gpus=(card,), ram=ram))
    monkeypatch.setattr(doctor, "_AMD_DRIVER", tmp_path)
    (tmp_path / "version").write_text("6.12.12\n")
    found = checks(monkeypatch, devices=[], cuda_build="")
    assert "ROCm build of torch" in found["accelerator"].remedy
    assert found["GPU driver"].found == "amdgpu 6.12.12; torch is built for the CPU"


def test_the_probe_says_one_thing_and_nothing_else() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "chatbot.engine.probe"],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert found["error"] == ""
    assert set(found.get("quantised", {"": ""}).values()) == {""}
    assert set(found.get("packed", {"": ""}).values()) == {""}


@pytest.mark.parametrize(
    ("changes", "words", "remedy"),
    [
        ({"bitsandbytes": "cannot be imported (no CUDA)"}, "cannot be imported", "pip install"),
        (
            {"quantised": {"8-bit": "", "4-bit": "RuntimeError: no kernel image"}},
            "4-bit fail on the GPU (RuntimeError: no kernel image)",
            "use bf16",
        ),
    ],
)
def test_bitsandbytes_that_does_not_work(
    monkeypatch: pytest.MonkeyPatch,
    driver: None,
    changes: dict[str, Any],
    words: str,
    remedy: str,
) -> None:
    check = checks(monkeypatch, **changes)["8-bit and 4-bit"]
    assert check.state == "note"
    assert words in check.found
    assert remedy in check.remedy


def test_a_driver_that_does_not_answer(monkeypatch: pytest.MonkeyPatch, driver: None) -> None:
    def hang(*_: Any, **__: Any) -> Any:
        raise subprocess.TimeoutExpired("nvidia-smi", 10)

    monkeypatch.setattr(doctor.subprocess, "run", hang)
    assert "does not answer" in checks(monkeypatch)["GPU driver"].found


@pytest.fixture
def set_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], doctor.Check]:
    monkeypatch.setenv("CHATBOT_CONFIG_DIR", str(tmp_path))

    def set_it(name: str) -> doctor.Check:
        (tmp_path / "config.toml").write_text(f'model = "{name}"\n')
        return doctor._model()

    return set_it


def test_a_model_that_does_not_exist_keeps_the_program_from_working(
    set_model: Callable[[str], doctor.Check],
) -> None:
    check = set_model("smollm2-135")
    assert check.state == "problem"
    assert check.found.startswith("There is no model 'smollm2-135'; give one of smollm2-135m, ")
    assert len(check.found) < 200  # it is a notice, too
    assert "chatbot models list" in check.remedy
    assert "config.toml" in check.remedy


def test_a_model_that_is_not_whole_or_not_here(
    set_model: Callable[[str], doctor.Check], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    check = set_model(str(tmp_path / "empty"))
    assert (check.state, "cannot be used" in check.found) == ("problem", True)
    check = set_model("nobody/nothing")
    assert (check.state, "HF_HUB_OFFLINE" in check.found) == ("problem", True)
    monkeypatch.setattr(doctor, "is_offline", lambda: False)
    check = set_model("nobody/nothing")
    assert (check.state, "models pull nobody/nothing" in check.remedy) == ("note", True)


@pytest.mark.skipif(
    any(weights.find() is None for weights in EMBEDDED),
    reason="the built-in weights are not installed",
)
def test_a_model_that_is_here(set_model: Callable[[str], doctor.Check]) -> None:
    check = set_model("smollm2-135m")
    assert (check.state, check.found[:14]) == ("ok", "smollm2-135m, ")


def test_nothing_is_said_of_a_default_where_there_is_none() -> None:
    (check,) = doctor._config(["[keys] foo: there is no such action; F1 lists them by name."])
    assert check.remedy == "chatbot runs without it; mend it or take it out"
