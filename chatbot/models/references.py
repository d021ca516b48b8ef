"""From what the user typed to the kind of place that a model is in.

A reference is a name of the catalogue, an imported name, a hub id, a folder or a ``.gguf``
file; a folder that could be a hub id begins with ``./``. Nothing is opened here.
"""

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Final, Literal

import msgspec

from chatbot.errors import ModelError
from chatbot.models.catalogue import CatalogueEntry, catalogue, find_entry
from chatbot.models.hub_cache import cached_commit, cached_folder
from chatbot.models.library_errors import first_sentence
from chatbot.models.notebook import read_notebook

Kind = Literal["package", "hub", "folder", "gguf"]

NUM_NAMED: Final = 3
"""Names of the catalogue that are offered for one that it does not have: a notice holds no more."""

_HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """What a reference stands for."""

    text: str
    """As the user gave it."""
    kind: Kind
    """``package``: weights that are installed as a Python package."""
    path: Path | None = None
    """Of a folder or a GGUF file."""
    hub_id: str = ""
    entry: CatalogueEntry | None = None
    """Where it is known to the catalogue, by its name or by its hub id."""

    @property
    def place(self) -> str:
        """What it stands for wherever the program is started, and today: an absolute path, or a hub
        id with the commit that is on this machine, ``org/name@1a2b…``.
        """
        if self.path:
            return str(self.path.resolve())
        return f"{self.hub_id}@{cached_commit(self.hub_id)}" if self.kind == "hub" else self.text


def resolve(text: str) -> Reference:
    """What ``text`` stands for.

    Raises:
        ModelError: nothing.
    """
    text = text.strip()
    entry = catalogue().get(text.lower())
    if entry is not None:
        kind: Kind = "package" if entry.weights is not None else "hub"
        return Reference(text=text, kind=kind, entry=entry, hub_id=entry.hub_id)
    imported = read_notebook().imported.get(text)
    try:
        found = _in_files(text, imported)
    except (OSError, RuntimeError) as error:  # too long a name, no right to look, no such user
        raise ModelError(f"{text} cannot be looked for: {first_sentence(error)}.") from error
    if found is not None:
        return found
    if _HUB_ID.fullmatch(text):
        return Reference(text=text, kind="hub", hub_id=text, entry=find_entry(text))
    names = list(catalogue())
    meant = get_close_matches(text.lower(), names, NUM_NAMED) or names[:NUM_NAMED]
    raise ModelError(
        f"There is no model {text!r}; give one of {', '.join(meant)} or another name of "
        "`chatbot models list`, a hub id (org/name), a folder, or a .gguf file."
    )


def _in_files(text: str, imported: str | None) -> Reference | None:
    """The folder or file that it stands for; None when it is no path.

    What may be a hub id is one: else whoever can write where the program is started chose it.

    Raises:
        ModelError: there is something else, or not any more, or it may be meant.
        OSError: the system does not let it be looked for.
        RuntimeError: there is no such user.
    """
    path = Path(imported or text).expanduser()
    if not imported and _HUB_ID.fullmatch(text) and path.suffix.lower() != ".gguf":
        if path.exists() and cached_folder(text) is None:
            raise ModelError(
                f"{text} is the name of a model of the hub, which is not on this machine; for what "
                f"lies here under that name give ./{text}"
            )
        return None
    if path.is_dir():
        return Reference(text=text, kind="folder", path=path)
    if path.suffix.lower() == ".gguf":
        if not path.is_file():
            raise ModelError(f"There is no file {path}.")
        return Reference(text=text, kind="gguf", path=path)
    if path.exists():
        raise ModelError(f"{text} is neither a model folder nor a .gguf file.")
    if imported:
        raise ModelError(
            f"{text} was imported from {imported}, which is gone; bring it back, or run: "
            f"chatbot models remove {text}"
        )
    return None
