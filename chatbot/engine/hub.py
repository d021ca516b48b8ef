"""Models from the Hugging Face hub: out of the local cache, else downloaded.

A model that is in the cache is used as it is, so nothing waits for the network then.
"""

from pathlib import Path
from typing import Any, Final

from chatbot.engine.failures import first_sentence, is_disk_full
from chatbot.engine.progress import Report
from chatbot.errors import ModelError

TIMEOUT_SECONDS: Final = 10.0
"""How long a silent server is waited for."""

_WANTED: Final = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt")
_UNWANTED: Final = ("*/*", "consolidated*")
"""Subfolders and second copies of the weights in other layouts."""


def fetch(hub_id: str, report: Report) -> Path:
    """The folder that the model ``org/name`` is in.

    Raises:
        ModelError: it is not in the cache and cannot be downloaded; the text says why.
    """
    from huggingface_hub import constants

    try:
        return _checked(_snapshot(hub_id, local_files_only=True))
    except FileNotFoundError as error:
        if constants.HF_HUB_OFFLINE:
            raise ModelError(
                f"{hub_id} is not on this machine, and downloading is switched off "
                "(HF_HUB_OFFLINE); give a folder or a .gguf file instead."
            ) from error
    report(f"Downloading {hub_id}", None)
    try:
        return _snapshot(hub_id, tqdm_class=_bar_class(hub_id, report))
    except Exception as error:
        raise _explain(hub_id, error) from error


def _snapshot(hub_id: str, **options: Any) -> Path:
    from huggingface_hub import snapshot_download

    folder = snapshot_download(
        hub_id,
        allow_patterns=list(_WANTED),
        ignore_patterns=list(_UNWANTED),
        etag_timeout=TIMEOUT_SECONDS,
        **options,
    )
    return Path(folder)


def _checked(folder: Path) -> Path:
    """``folder``, unless an earlier download left it incomplete.

    Raises:
        FileNotFoundError: something is missing.
    """
    index = folder / "model.safetensors.index.json"
    if not (folder / "config.json").is_file() or not any(folder.glob("*.safetensors")):
        raise FileNotFoundError(folder)
    if index.is_file():
        import json

        names = set(json.loads(index.read_bytes()).get("weight_map", {}).values())
        if not all((folder / str(name)).is_file() for name in names):
            raise FileNotFoundError(folder)
    return folder


def _explain(hub_id: str, error: Exception) -> ModelError:
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return ModelError(
            f"{hub_id} is only given to people who accepted its terms; accept them on its page "
            "and log in with: hf auth login"
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return ModelError(f"There is no model {hub_id} on the hub, or it is private.")
    if is_disk_full(error):
        return ModelError(f"The disk is too full to download {hub_id}; free some space.")
    # Which HTTP library the hub's client uses differs from version to version.
    is_transport = any(base.__name__ == "TransportError" for base in type(error).__mro__)
    known = errors.LocalEntryNotFoundError | ConnectionError | TimeoutError
    if is_transport or isinstance(error, known):
        return ModelError(
            f"{hub_id} is not on this machine and the hub cannot be reached; check the network, "
            "or give a folder or a .gguf file instead."
        )
    return ModelError(f"{hub_id} could not be downloaded: {first_sentence(error)}.")


def _bar_class(hub_id: str, report: Report) -> type[Any]:
    """A progress bar that reports downloaded bytes instead of drawing."""
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            options["disable"] = False  # or it would not count
            super().__init__(*args, **options)

        def display(self, *_: Any, **__: Any) -> bool:
            return True

        def update(self, n: float | None = 1) -> bool | None:
            result: bool | None = super().update(n)
            if self.unit == "B" and self.total:
                report(f"Downloading {hub_id}", min(1.0, self.n / self.total))
            return result

    return Bar
