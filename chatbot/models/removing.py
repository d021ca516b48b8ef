"""Takes a model off this machine, and says how much space that gave back."""

import msgspec

from chatbot.errors import ModelError
from chatbot.models.facts import converted_folders
from chatbot.models.hub_cache import remove_folder, remove_repo
from chatbot.models.notebook import forget, read_notebook
from chatbot.models.references import resolve


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """What was done."""

    freed_bytes: int
    note: str = ""
    """What is still there, in a sentence."""


def remove(model: str) -> Removed:
    """Delete what the program fetched or made of a model; files of the user's own stay.

    Raises:
        ModelError: there is no such model here, or it cannot be deleted.
    """
    try:
        reference = resolve(model)
    except ModelError:
        if model not in read_notebook().imported:
            raise
        forget(model)  # what it stood for is gone already
        return Removed(freed_bytes=0, note="Its name is forgotten.")
    note, freed = "", 0
    match reference.kind:
        case "hub":
            freed = remove_repo(reference.hub_id)
        case "package" if reference.entry is not None:
            for folder in converted_folders(reference.entry.name):
                freed += remove_folder(folder, model)
            note = "It came with the program and is unpacked again when it is used."
        case "gguf" if reference.path is not None:
            for folder in converted_folders(reference.path.stem):
                freed += remove_folder(folder, model)
            note = f"{reference.path} is as it was."
        case _:
            note = f"{reference.path} is as it was: it is a folder of yours."
    forget(model)
    return Removed(freed_bytes=freed, note=note)
