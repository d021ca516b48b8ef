"""What the program remembers of models, in ``models.json`` of the data folder: which were
imported, and what each took when it was loaded.

Knows nothing of how either is found out. A file that cannot be read counts as empty: it is
made again, and no model depends on it.
"""

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from chatbot import paths
from chatbot.errors import ModelError


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What a model took when it was last loaded."""

    weight_bytes: int
    """All parameters and buffers, where they lay."""
    device: str


class Notebook(msgspec.Struct, frozen=True):
    """All that is remembered."""

    imported: dict[str, str] = {}
    """A name of the user's choice, and the folder or GGUF file that it stands for."""
    measured: dict[str, dict[str, Measured]] = {}
    """By reference, then by precision."""


def notebook_file() -> Path:
    """Where it is kept."""
    return paths.data_dir() / "models.json"


def read_notebook() -> Notebook:
    """What is remembered now."""
    try:
        return msgspec.json.decode(notebook_file().read_bytes(), type=Notebook)
    except (OSError, msgspec.DecodeError):
        return Notebook()


def change_notebook(change: Callable[[Notebook], Notebook]) -> None:
    """Replace what is remembered by what ``change`` makes of it.

    Raises:
        ModelError: it cannot be written.
    """
    from filelock import FileLock  # only here: the first frame has no use for it

    file = notebook_file()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_suffix(".lock"), timeout=10):
            content = msgspec.json.format(msgspec.json.encode(change(read_notebook())))
            handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
            with os.fdopen(handle, "wb") as out:
                out.write(content)
            os.replace(temporary, file)
    except OSError as error:
        raise ModelError(f"{file} cannot be written: {error.strerror or error}.") from error


def remember_measured(reference: str, precision: str, measured: Measured) -> None:
    """Note what a model took; where that cannot be written, it is as if it was never measured."""

    def change(notebook: Notebook) -> Notebook:
        known = {**notebook.measured.get(reference, {}), precision: measured}
        return msgspec.structs.replace(notebook, measured={**notebook.measured, reference: known})

    with contextlib.suppress(ModelError):
        change_notebook(change)


def remember_import(name: str, path: Path) -> None:
    """Let ``name`` stand for ``path``.

    Raises:
        ModelError: it cannot be written.
    """

    def change(notebook: Notebook) -> Notebook:
        imported = {**notebook.imported, name: str(path)}
        return msgspec.structs.replace(notebook, imported=imported)

    change_notebook(change)


def forget(reference: str) -> None:
    """Remember nothing of ``reference`` any more.

    Raises:
        ModelError: it cannot be written.
    """

    def change(notebook: Notebook) -> Notebook:
        return Notebook(
            {name: path for name, path in notebook.imported.items() if name != reference},
            {name: known for name, known in notebook.measured.items() if name != reference},
        )

    change_notebook(change)
