"""Models from the Hugging Face hub: out of the local cache, else downloaded into it.

A model that is in the cache is used as it is, so nothing waits for the network then. Only
safetensors and the small files beside them are fetched: no pickle and no program code ever
reaches the disk.
"""

import contextlib
import fnmatch
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from chatbot.errors import ModelError
from chatbot.models.hub_cache import cached_folder, repo_folder
from chatbot.models.hub_download import (
    TIMEOUT_SECONDS,
    RemoteFile,
    download,
    present_bytes,
)
from chatbot.models.hub_errors import explain
from chatbot.wording import size

_WANTED: Final = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt", "README.md")
_UNWANTED: Final = ("consolidated*", "*.index.json.bak")
"""Second copies of the weights in other layouts."""
_PICKLES: Final = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_CODE: Final = ("*.py",)
_NAME: Final = re.compile(r"[\w][\w.+-]*")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")


class PullProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a download is."""

    hub_id: str
    done_bytes: int
    total_bytes: int
    """0 while the hub is being asked."""
    file: str = ""
    is_waiting: bool = False
    """Another process is fetching the file, and is waited for."""


class _Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be fetched."""

    commit: str
    files: tuple[RemoteFile, ...]


def fetch(
    hub_id: str, report: Callable[[str, float | None], None], *, with_code: bool = False
) -> Path:
    """The folder that the model ``org/name`` is in, downloaded where it is not there.

    Args:
        hub_id: the model.
        report: told what is being done, and how far it is.
        with_code: fetch the model's own program code as well.

    Raises:
        ModelError: it is not in the cache and cannot be downloaded; the text says why.
    """
    folder = cached_folder(hub_id)
    if folder is not None and not (with_code and not any(folder.glob("*.py"))):
        return folder
    if folder is not None and is_offline():
        return folder
    # The code that was allowed, and not what the model may have come to on the hub since.
    commit = folder.name if folder is not None else None

    def show(progress: PullProgress) -> None:
        stage = f"Downloading {hub_id}"
        if progress.is_waiting:
            stage = f"Waiting for another download of {hub_id}"
        share = progress.done_bytes / progress.total_bytes if progress.total_bytes else None
        report(stage, share)

    return pull(hub_id, show, with_code=with_code, commit=commit)


def is_offline() -> bool:
    """Whether downloading is switched off."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def pull(
    hub_id: str,
    on_progress: Callable[[PullProgress], None],
    *,
    with_code: bool = False,
    commit: str | None = None,
) -> Path:
    """Bring the cache up to date with the hub; returns the model's folder.

    What was fetched before, and half a file, is not fetched again.

    Args:
        hub_id: the model.
        on_progress: told often how far it is.
        with_code: fetch the model's own program code as well.
        commit: this state of it, and not its present one.

    Raises:
        ModelError: it cannot be downloaded, or is of no use; the text says why.
    """
    from huggingface_hub import get_token

    if is_offline():
        raise ModelError(
            f"{hub_id} is not on this machine, and downloading is switched off "
            "(HF_HUB_OFFLINE); give a folder or a .gguf file instead."
        )
    on_progress(PullProgress(hub_id=hub_id, done_bytes=0, total_bytes=0))
    try:
        plan = _ask(hub_id, with_code, commit)
        return _carry_out(hub_id, plan, on_progress)
    except Exception as error:
        raise explain(hub_id, error, has_token=bool(get_token())) from error


def _ask(hub_id: str, with_code: bool, commit: str | None) -> _Plan:
    """What the model consists of.

    Raises:
        ModelError: it has no safetensors.
        Exception: whatever the hub's client raised.
    """
    from huggingface_hub import HfApi, hf_hub_url

    info = HfApi().model_info(hub_id, revision=commit, files_metadata=True, timeout=TIMEOUT_SECONDS)
    commit = str(info.sha)
    if not _COMMIT.fullmatch(commit):
        raise ModelError(f"The hub's answer about {hub_id} makes no sense; try again later.")
    wanted = (*_WANTED, *_CODE) if with_code else _WANTED
    files, names = [], []
    for sibling in info.siblings or ():
        name = str(sibling.rfilename)
        names.append(name)
        if not _NAME.fullmatch(name) or not _matches(name, wanted) or _matches(name, _UNWANTED):
            continue
        files.append(
            RemoteFile(
                name=name,
                url=hf_hub_url(hub_id, name, revision=commit),
                num_bytes=int(sibling.size or 0),
                etag=str(sibling.lfs.sha256 if sibling.lfs else sibling.blob_id),
            )
        )
    if not any(file.name.endswith(".safetensors") for file in files):
        raise _no_weights(hub_id, names)
    return _Plan(commit=commit, files=tuple(sorted(files, key=lambda file: file.num_bytes)))


def _no_weights(hub_id: str, names: list[str]) -> ModelError:
    if any(name.lower().endswith(".gguf") for name in names):
        return ModelError(
            f"{hub_id} has its weights as GGUF files only; download one of them from its page "
            "and give the file's path."
        )
    if any(_matches(name, _PICKLES) for name in names):
        return ModelError(
            f"{hub_id} has its weights as pickle files only, which can run any code when they "
            "are read; choose a model with safetensors."
        )
    return ModelError(f"{hub_id} has no weights: there is no .safetensors file in it.")


def _carry_out(hub_id: str, plan: _Plan, on_progress: Callable[[PullProgress], None]) -> Path:
    from huggingface_hub.utils._headers import build_hf_headers

    total = sum(file.num_bytes for file in plan.files)
    done = sum(present_bytes(hub_id, file) for file in plan.files)
    _check_space(hub_id, total - done)
    headers = build_hf_headers()
    for file in plan.files:

        def tell(num_new: int = 0, *, waits: bool = False, name: str = file.name) -> None:
            nonlocal done
            done = max(done + num_new, 0)
            on_progress(
                PullProgress(
                    hub_id=hub_id,
                    done_bytes=min(done, total),
                    total_bytes=total,
                    file=name,
                    is_waiting=waits,
                )
            )

        tell()
        blob = download(hub_id, file, headers, tell, lambda tell=tell: tell(waits=True))  # type: ignore[misc]
        _link(hub_id, plan.commit, file, blob)
    return _make_current(hub_id, plan.commit)


def _link(hub_id: str, commit: str, file: RemoteFile, blob: Path) -> None:
    """Show a blob under its name in the snapshot."""
    pointer = repo_folder(hub_id) / "snapshots" / commit / file.name
    pointer.parent.mkdir(parents=True, exist_ok=True)
    if pointer.exists():
        return
    pointer.unlink(missing_ok=True)
    try:
        pointer.symlink_to(os.path.relpath(blob, pointer.parent))
    except OSError:  # a file system without links
        shutil.copyfile(blob, pointer)


def _make_current(hub_id: str, commit: str) -> Path:
    """Say, at the very end, that this snapshot is the one to use."""
    reference = repo_folder(hub_id) / "refs" / "main"
    reference.parent.mkdir(parents=True, exist_ok=True)
    reference.write_text(commit, "ascii")
    folder = cached_folder(hub_id)
    if folder is None:
        raise ModelError(
            f"{hub_id} is incomplete on the hub: its configuration or some of its weights are "
            "missing there; choose another model."
        )
    return folder


def _check_space(hub_id: str, needed: int) -> None:
    folder = repo_folder(hub_id)
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(existing).free
        if free < needed:
            raise ModelError(
                f"{hub_id} takes {size(needed)} more and {existing} has {size(free)} "
                "free; free some space, or set HF_HOME to a folder on another disk."
            )


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
