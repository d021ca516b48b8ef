"""Downloads one file of a model into the hub's cache: resumed where it broke off, checked at
the end.

``huggingface_hub`` itself begins each file anew after an interruption, which for weights of
many gigabytes is hours. What is half there is kept under the hash that the whole must have.
"""

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from filelock import FileLock, Timeout

from chatbot.errors import ModelError
from chatbot.models.hub_cache import INCOMPLETE, hash_of, repo_folder
from chatbot.models.hub_errors import is_transport

TIMEOUT_SECONDS: Final = 10.0
"""How long a silent server is waited for."""

MAX_TRIES: Final = 4
"""In a row without a single new byte."""

_ETAG: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class RemoteFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a model, as the hub describes it."""

    name: str
    """Without any folder."""
    url: str
    num_bytes: int
    etag: str
    """Its SHA-256, or for small files the hash that git gives it."""


def present_bytes(hub_id: str, file: RemoteFile) -> int:
    """How much of a file is on this machine already."""
    blob = blob_path(hub_id, file)
    for path in (blob, blob.with_name(blob.name + INCOMPLETE)):
        with contextlib.suppress(OSError):
            return min(path.stat().st_size, file.num_bytes)
    return 0


def blob_path(hub_id: str, file: RemoteFile) -> Path:
    """Where a file's content is kept.

    Raises:
        ModelError: the hub gave it no hash to be kept and checked by.
    """
    if not _ETAG.fullmatch(file.etag):
        raise ModelError(f"The hub gives no hash for {file.name} of {hub_id}; it is not used.")
    return repo_folder(hub_id) / "blobs" / file.etag


def download(
    hub_id: str,
    file: RemoteFile,
    headers: dict[str, str],
    on_bytes: Callable[[int], None],
    on_wait: Callable[[], None],
) -> Path:
    """The blob of a file; fetched now if it is not there.

    Args:
        hub_id: whose file.
        file: what to fetch.
        headers: those that say who asks.
        on_bytes: told of each number of new bytes; negative where some have to come again.
        on_wait: told when another process is fetching the same file, which is waited for.

    Raises:
        ModelError: it came in another size or with another content than it should have.
        Exception: whatever the HTTP library or the disk raised.
    """
    blob = blob_path(hub_id, file)
    blob.parent.mkdir(parents=True, exist_ok=True)
    locks = repo_folder(hub_id).parent / ".locks" / repo_folder(hub_id).name
    locks.mkdir(parents=True, exist_ok=True)
    with _locked(locks / f"{file.etag}.lock", on_wait):
        if not blob.is_file():
            partial = blob.with_name(blob.name + INCOMPLETE)
            _fill(hub_id, file, partial, headers, on_bytes)
            os.replace(partial, blob)
    return blob


@contextlib.contextmanager
def _locked(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        on_wait()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _fill(
    hub_id: str,
    file: RemoteFile,
    partial: Path,
    headers: dict[str, str],
    on_bytes: Callable[[int], None],
) -> None:
    """Bring ``partial`` to its full size, and check its hash."""
    tries = 0
    while True:
        size = partial.stat().st_size if partial.exists() else 0
        if size > file.num_bytes:
            partial.unlink()
            raise _damaged(hub_id, file, "it came larger than it should be")
        if size == file.num_bytes and partial.exists():
            break
        on_bytes(0)  # where a silent server is given up, for whoever wants to stop
        try:
            _read_on(file, partial, size, headers, on_bytes)
            failure: Exception | None = None
        except Exception as error:
            if not is_transport(error):
                raise
            failure = error
        grown = (partial.stat().st_size if partial.exists() else 0) > size
        tries = 0 if grown else tries + 1
        if tries >= MAX_TRIES:
            if failure is not None:
                raise failure
            missing = file.num_bytes - size
            raise _damaged(hub_id, file, f"the hub sends {missing:,} bytes too few of it")
        if not grown:
            time.sleep(min(2.0 ** (tries - 1), 4.0) / 4)
    if hash_of(partial, file.etag) != file.etag:
        on_bytes(-file.num_bytes)
        partial.unlink()
        raise _damaged(hub_id, file, "its hash is wrong")


def _read_on(
    file: RemoteFile,
    partial: Path,
    size: int,
    headers: dict[str, str],
    on_bytes: Callable[[int], None],
) -> None:
    """Append what the server sends from byte ``size`` on."""
    from huggingface_hub import get_session
    from huggingface_hub.utils._http import hf_raise_for_status

    # Compressed bytes could not be counted, nor gone on with.
    wanted = {**headers, "Accept-Encoding": "identity"}
    if size:
        wanted["Range"] = f"bytes={size}-"
    session: Any = get_session()
    with session.stream(
        "GET", file.url, headers=wanted, timeout=TIMEOUT_SECONDS, follow_redirects=True
    ) as response:
        hf_raise_for_status(response)
        if size and response.status_code != 206:  # a server that cannot go on: from the start
            on_bytes(-size)
            size = 0
        with partial.open("ab" if size else "wb") as out:
            for chunk in response.iter_bytes():
                out.write(chunk)
                on_bytes(len(chunk))
                size += len(chunk)
                if size > file.num_bytes:
                    return


def _damaged(hub_id: str, file: RemoteFile, reason: str) -> ModelError:
    return ModelError(f"{file.name} of {hub_id} was not downloaded: {reason}; try again.")
