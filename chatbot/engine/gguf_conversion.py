"""Turns a GGUF file into a folder of safetensors, once, in the cache folder.

Unpacking takes many seconds and loading the result takes a fraction of one. A folder is
either complete or not there: it is made under another name and renamed at the end.
"""

import contextlib
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from chatbot.engine.progress import Report
from chatbot.errors import ModelError
from chatbot.models.gguf_header import GgufHeader, content_key, read_header
from chatbot.models.library_errors import is_disk_full
from chatbot.wording import size

FORMAT_VERSION: Final = 2
"""Part of each folder's name: a change in what is written makes folders afresh."""

SLACK_BYTES: Final = 64 * 2**20
"""Room for the tokenizer and other small files."""

_PARTIAL: Final = ".partial-"
_LOCK_SECONDS: Final = 3600.0


def converted_folder(file: Path, name: str, models_dir: Path) -> Path:
    """Where the converted form of ``file`` is, or will be.

    Raises:
        OSError: the file cannot be read.
    """
    safe_name = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-")[:80] or "model"
    return models_dir / f"{safe_name}-{content_key(file)}-v{FORMAT_VERSION}"


def convert(file: Path, name: str, models_dir: Path, report: Report) -> Path:
    """The folder of ``file`` in safetensors; made now if it is not there.

    Args:
        file: a GGUF file.
        name: what the user knows it as.
        models_dir: where converted models are kept.

    Raises:
        ModelError: the file is damaged, its architecture is unknown, the disk is full, or
            another process takes too long converting.
    """
    try:
        header = read_header(file)
        target = converted_folder(file, name, models_dir)
        if target.is_dir():
            return target
        models_dir.mkdir(parents=True, exist_ok=True)
        with _only_one(models_dir, name, report):
            if not target.is_dir():
                _remove_leftovers(models_dir, target)
                _check_space(header, name, models_dir)
                _convert_into(target, file, name, header, report)
    except OSError as error:
        if is_disk_full(error):
            raise _disk_full(name, models_dir) from error
        raise ModelError(f"{name} could not be converted: {error}.") from error
    return target


@contextlib.contextmanager
def _only_one(models_dir: Path, name: str, report: Report) -> Any:
    """Hold the lock under which conversions are made; the system frees it when we die."""
    lock = FileLock(models_dir / ".conversion.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        report(f"Waiting for another conversion before {name}", None)
        try:
            lock.acquire(timeout=_LOCK_SECONDS)
        except Timeout:
            raise ModelError(
                f"Another process has been converting a model for an hour; end it to use {name}."
            ) from None
    try:
        yield
    finally:
        lock.release()


def _remove_leftovers(models_dir: Path, target: Path) -> None:
    """Remove what crashed conversions left, and what other versions of the program made of the same
    file; nobody else is at work, for we hold the lock."""
    of_same_file = target.name.removesuffix(str(FORMAT_VERSION))
    for pattern in (f"{_PARTIAL}*", f"{of_same_file}*"):
        for folder in models_dir.glob(pattern):
            shutil.rmtree(folder, ignore_errors=True)


def _check_space(header: GgufHeader, name: str, models_dir: Path) -> None:
    needed = header.num_values * _bytes_per_value(header) + SLACK_BYTES
    free = shutil.disk_usage(models_dir).free
    if free < needed:
        raise _disk_full(name, models_dir, needed)


def _disk_full(name: str, models_dir: Path, needed: int = 0) -> ModelError:
    room = size(needed) if needed else "more room"
    return ModelError(
        f"The disk is too full to convert {name}, which needs {room} in {models_dir}; free some "
        "space, or set CHATBOT_CACHE_DIR to a folder on another disk."
    )


def _bytes_per_value(header: GgufHeader) -> int:
    return 4 if header.main_type == "F32" else 2


def _convert_into(target: Path, file: Path, name: str, header: GgufHeader, report: Report) -> None:
    from chatbot.engine.gguf_unpacking import unpack

    partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=target.parent))
    try:
        unpack(file, partial, name, header, report)
        os.rename(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
