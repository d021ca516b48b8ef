"""The hub's cache on this machine: which models are in it, whole or not, and how large.

The layout is that of ``huggingface_hub``, which other programs share: ``blobs`` by hash,
``snapshots`` of links to them, ``refs`` that name the present snapshot. Never asks the
network.
"""

import contextlib
import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from chatbot.errors import ModelError

_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_FOLDER: Final = re.compile(r"models--([\w.-]+?)--([\w.-]+)")
_INDEX: Final = "model.safetensors.index.json"
_CHUNK_BYTES: Final = 2**20

INCOMPLETE: Final = ".incomplete"
"""What the name of a blob ends with while it is being downloaded."""


class CachedRepo(msgspec.Struct, frozen=True, kw_only=True):
    """One model in the cache."""

    hub_id: str
    folder: Path | None
    """Its present files; None where they are not all there."""


def cache_root() -> Path:
    """The folder of the whole cache; ``HF_HOME`` and ``HF_HUB_CACHE`` move it."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def repo_folder(hub_id: str) -> Path:
    """Where a model's files are kept, whether it is there or not."""
    return cache_root() / f"models--{hub_id.replace('/', '--')}"


def cached_commit(hub_id: str) -> str:
    """Which state of a model's files is the present one, as the hub names it; else empty."""
    try:
        commit = (repo_folder(hub_id) / "refs" / "main").read_text("ascii").strip()
    except (OSError, ValueError):
        return ""
    return commit if _COMMIT.fullmatch(commit) else ""


def cached_folder(hub_id: str) -> Path | None:
    """The folder with a model's present files; None where they are not all there."""
    commit = cached_commit(hub_id)
    folder = repo_folder(hub_id) / "snapshots" / commit
    return folder if commit and is_complete(folder) else None


def is_complete(folder: Path) -> bool:
    """Whether a model folder has a configuration and all its weights."""
    if not (folder / "config.json").is_file() or not any(folder.glob("*.safetensors")):
        return False
    index = folder / _INDEX
    if not index.is_file():
        return True
    try:
        names = set(json.loads(index.read_bytes())["weight_map"].values())
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return False
    return all((folder / Path(str(name)).name).is_file() for name in names)


def cached_repos() -> Iterator[CachedRepo]:
    """Every model in the cache that may be one that writes text, by name."""
    with contextlib.suppress(OSError):
        for repo in sorted(cache_root().glob("models--*")):
            match = _FOLDER.fullmatch(repo.name)
            if match is None:
                continue
            hub_id = f"{match[1]}/{match[2]}"
            yield CachedRepo(hub_id=hub_id, folder=cached_folder(hub_id))


def size_of(folder: Path) -> int:
    """What a folder takes on the disk, in bytes; links count nothing."""
    total = 0
    with contextlib.suppress(OSError):
        for path in folder.rglob("*"):
            with contextlib.suppress(OSError):
                if path.is_file() and not path.is_symlink():
                    total += path.stat().st_size
    return total


def remove_repo(hub_id: str) -> int:
    """Delete a model from the cache; returns the bytes that are free now.

    Raises:
        ModelError: it is not there, or cannot be deleted.
    """
    folder = repo_folder(hub_id)
    if not folder.is_dir():
        raise ModelError(f"{hub_id} is not in the hub's cache on this machine.")
    return remove_folder(folder, hub_id)


def remove_folder(folder: Path, name: str) -> int:
    """Delete a folder of ours; returns the bytes that are free now.

    Raises:
        ModelError: it cannot be deleted.
    """
    size = size_of(folder)
    try:
        shutil.rmtree(folder)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ModelError(f"{name} could not be deleted from {folder}: {reason}.") from error
    return size


def hash_of(file: Path, etag: str) -> str:
    """The hash of ``file`` in the form that ``etag`` is in.

    Args:
        file: any file.
        etag: 64 digits for SHA-256, or 40 for the hash that git gives a small file.

    Raises:
        OSError: it cannot be read.
    """
    if len(etag) == 64:
        digest = hashlib.sha256()
    else:
        digest = hashlib.sha1(usedforsecurity=False)
        digest.update(f"blob {file.stat().st_size}\0".encode())
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
