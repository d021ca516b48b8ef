"""What holds for every test: no model hub, and no file of the user's own."""

import os
from contextlib import suppress
from pathlib import Path

import pytest

# Before anything imports huggingface_hub, which reads them once.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
# Before anything imports torch. As many tests run at once as there are processors: with threads of
# their own for each they wait for one another, and take three times as long (measured).
os.environ.setdefault("OMP_NUM_THREADS", "1")

with suppress(ImportError):  # the tests on a GPU go without it
    from hypothesis import HealthCheck, settings

    # Times depend on what else the machine does; a fixture is meant for all examples of a test.
    settings.register_profile(
        "shared",
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
    settings.load_profile("shared")

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def models_cache() -> Path:
    """A cache folder that outlives the run, so that the built-in model is converted once."""
    default = REPOSITORY / ".pytest_cache" / "models-cache"
    folder = Path(os.environ.get("CHATBOT_CACHE_DIR") or default)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(autouse=True)
def own_folders(
    models_cache: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings and chats of each test start empty; converted weights are shared."""
    folder = tmp_path_factory.mktemp("user")
    monkeypatch.setenv("CHATBOT_CONFIG_DIR", str(folder / "config"))
    monkeypatch.setenv("CHATBOT_DATA_DIR", str(folder / "data"))
    monkeypatch.setenv("CHATBOT_CACHE_DIR", str(models_cache))
