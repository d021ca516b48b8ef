"""``chatbot models`` as the user runs it: real processes, a stand-in hub, no language model."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.models.standin_hub import StandInHub, serving
from tests.running_chatbot import REAL, environment, run_chatbot

pytestmark = pytest.mark.timeout(150)

SECONDS = 60
"""For one run of the program: two, most of them imports, and many more on a busy machine."""

CONFIG = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "vocab_size": 32000,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": False,
}


def models(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return run_chatbot("models", *arguments, command=REAL, seconds=SECONDS, **env)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[StandInHub]:
    with serving() as standing:
        standing.files = {
            "config.json": json.dumps(CONFIG).encode(),
            "model.safetensors": (2).to_bytes(8, "little") + b"{}" + bytes(3_000_000),
            "README.md": b"---\nlicense: mit\n---\n# Tiny\n",
        }
        yield standing


@pytest.fixture
def online(hub: StandInHub, tmp_path: Path) -> dict[str, str]:
    return {
        "HF_ENDPOINT": hub.url,
        "HF_HUB_OFFLINE": "0",
        "TRANSFORMERS_OFFLINE": "0",
        "HF_HOME": str(tmp_path / "hf"),
    }


@pytest.fixture
def tiny_model(tmp_path: Path) -> Path:
    from tests.engine.tiny_models import make_llama, make_tokenizer

    folder = tmp_path / "tiny"
    make_llama().save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


def test_the_list_has_the_catalogue(tmp_path: Path) -> None:
    done = models("list", HF_HOME=str(tmp_path))
    assert done.returncode == 0
    assert "On this machine" in done.stdout
    assert "llama-3.3-70b" in done.stdout
    listed = json.loads(models("--json", HF_HOME=str(tmp_path)).stdout)["models"]
    by_name = {model["name"]: model for model in listed}
    assert by_name["smollm2-135m"]["parameters"] == 134_515_008
    assert by_name["qwen3-8b"] == {
        "name": "qwen3-8b",
        "kind": "hub",
        "here": False,
        "bytes": 0,
        "parameters": 8_190_735_360,
        "context_length": 40_960,
        "licence": "Apache-2.0",
        "tools": True,
        "vision": False,
        "thinking": True,
        "gated": False,
        "description": "thinks before it answers; strong for its size",
        "problem": "",
    }


def test_the_memory_of_seven_billion_weights() -> None:
    lines = models("memory", "7B").stdout.splitlines()
    assert [line.split()[-1] for line in lines[1:]] == ["26.08", "13.04", "13.04", "6.52", "3.26"]


def test_the_memory_of_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    report = json.loads(models("memory", str(tmp_path), "--context", "4096", "--json").stdout)
    assert report["parameters"] == 6_738_415_616
    assert report["context"] == 4096
    rows = {row["precision"]: row for row in report["precisions"]}
    assert rows["bf16"]["weight_bytes"] == 2 * 6_738_415_616
    # keys and values, 32 layers, 4096 wide, 2 bytes, 4096 tokens: 2 GiB
    assert rows["bf16"]["cache_bytes"] == 2 * 2**30
    assert rows["fp32"]["cache_bytes"] == 4 * 2**30
    assert rows["bf16"]["total_bytes"] == sum(
        rows["bf16"][part] for part in ("weight_bytes", "cache_bytes", "overhead_bytes")
    )


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("memory", "no-such-model"), 1, "There is no model"),
        (("memory", "org/unknown"), 1, "are not known here"),
        (("memory", "gpt2", "--context", "-1"), 2, "--context must be"),
        (("pull", "smollm2-135m"), 1, "came with the program"),
        (("remove", "org/unknown"), 1, "not in the hub's cache"),
        (("import", "/nowhere"), 1, "neither a model folder"),
    ],
)
def test_what_cannot_be_done(
    tmp_path: Path, arguments: tuple[str, ...], status: int, words: str
) -> None:
    done = models(*arguments, HF_HOME=str(tmp_path))
    assert done.returncode == status
    assert words in done.stderr
    assert done.stdout == ""


def test_a_model_comes_and_goes(hub: StandInHub, online: dict[str, str]) -> None:
    done = models("pull", "tiny/model", **online)
    assert done.returncode == 0, done.stderr
    assert "Licence of tiny/model: mit" in done.stderr
    assert "of 3.0 MB" in done.stderr
    listed = json.loads(models("--json", **online).stdout)["models"]
    found = next(model for model in listed if model["name"] == "tiny/model")
    assert found["licence"] == "mit"
    assert found["bytes"] > 3_000_000
    removed = json.loads(models("remove", "tiny/model", "--json", **online).stdout)
    assert removed["freed_bytes"] > 3_000_000
    assert "tiny/model" not in models(**online).stdout


def test_an_interrupted_download_goes_on(hub: StandInHub, online: dict[str, str]) -> None:
    hub.gate.clear()
    process = subprocess.Popen(
        [*REAL, "models", "pull", "tiny/model"],
        env=environment(**online),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell ignores it for what it starts in the background, and so would the program.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert hub.is_sending.wait(SECONDS)
    blobs = Path(online["HF_HOME"]) / "hub" / "models--tiny--model" / "blobs"
    while not any(file.stat().st_size > 1_000_000 for file in blobs.glob("*.incomplete")):
        assert process.poll() is None
        time.sleep(0.005)  # spinning would take the processor that the program needs
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 130, errors
    assert b"Traceback" not in errors
    hub.gate.set()
    assert models("pull", "tiny/model", **online).returncode == 0
    ranges = [r for path, r, _ in hub.requests if path.endswith("model.safetensors")]
    assert ranges[0] == ""
    assert int(ranges[1].removeprefix("bytes=").rstrip("-")) > 1_000_000


def test_a_gated_model_is_explained(hub: StandInHub, online: dict[str, str]) -> None:
    hub.token = "right"
    done = models("pull", "tiny/model", **online)
    assert done.returncode == 1
    assert "https://huggingface.co/tiny/model" in done.stderr
    assert models("pull", "tiny/model", **online, HF_TOKEN="right").returncode == 0


def test_offline_it_does_not_wait(hub: StandInHub, online: dict[str, str]) -> None:
    done = models("pull", "tiny/model", **{**online, "HF_HUB_OFFLINE": "1"})
    assert done.returncode == 1
    assert "switched off" in done.stderr
    assert hub.requests == []


def test_code_is_allowed_to_one_model(tmp_path: Path) -> None:
    env = {"CHATBOT_CONFIG_DIR": str(tmp_path), "HF_HUB_CACHE": str(tmp_path / "hub")}
    assert (
        "first run: chatbot models pull org/name" in models("allow-code", "org/name", **env).stderr
    )
    refs = tmp_path / "hub" / "models--org--name" / "refs"
    refs.mkdir(parents=True)
    file = tmp_path / "config.toml"
    for commit in ("1" * 40, "2" * 40):
        (refs / "main").write_text(commit)
        assert models("allow-code", "org/name", **env).returncode == 0
        assert file.read_text() == f'[models]\nallow_code = ["org/name@{commit}"]\n'
    assert models("allow-code", "no-such-model", **env).returncode == 1
    assert "no-such-model" not in file.read_text()
    assert models("allow-code", "org/name", "--revoke", **env).returncode == 0
    assert "org/name" not in file.read_text()
    (tmp_path / "mine").mkdir()
    assert models("allow-code", f"{tmp_path}/./mine", **env).returncode == 0
    assert f'["{tmp_path.resolve()}/mine"]' in file.read_text()


@pytest.mark.slow
def test_an_imported_folder_answers_by_its_name(tiny_model: Path) -> None:
    done = models("import", str(tiny_model), "--name", "mine")
    assert done.returncode == 0, done.stderr
    listed = json.loads(models("--json").stdout)["models"]
    assert next(model for model in listed if model["name"] == "mine")["here"]
    arguments = ("--complete", "The capital", "-n", "2", "--max-tokens", "4", "--seed", "1")
    done = run_chatbot("ask", "-m", "mine", "--json", *arguments, command=REAL, seconds=40)
    report = json.loads(done.stdout)
    assert report["model"] == "mine"
    assert [one["seed"] for one in report["continuations"]] == [1, 2]
    assert models("remove", "mine").returncode == 0
    assert (tiny_model / "config.json").is_file()
    assert "There is no model 'mine'" in models("memory", "mine").stderr
