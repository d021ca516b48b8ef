"""All models that are known: the catalogue, the hub's cache, what was imported, and the
folders and GGUF files that are in use, in the user's own folders, or right here.

Asks no network.
"""

from collections.abc import Iterable
from pathlib import Path

from chatbot.errors import ModelError
from chatbot.models.catalogue import catalogue, find_entry
from chatbot.models.facts import ModelFacts, facts_of
from chatbot.models.folders import models_beside, models_in
from chatbot.models.hub_cache import cached_repos
from chatbot.models.notebook import read_notebook
from chatbot.models.references import resolve
from chatbot.paths import working_dir


def list_models(in_use: Iterable[str] = (), folders: Iterable[str] = ()) -> list[ModelFacts]:
    """Each model once, those that are here first.

    Args:
        in_use: references that are to be in the list whatever else is.
        folders: where the user keeps models; the current folder is looked into besides.
    """
    imported = read_notebook().imported
    references = dict.fromkeys([*in_use, *imported])
    known = {_place(imported.get(reference, reference)) for reference in references}
    for path in (*models_in(folders), *models_beside(working_dir())):
        if _place(path) not in known:
            known.add(_place(path))
            references.setdefault(path)
    references.update(dict.fromkeys(catalogue()))
    for repo in cached_repos():
        entry = find_entry(repo.hub_id)
        if repo.folder is not None and (entry is None or entry.weights is not None):
            references.setdefault(repo.hub_id)
    found = []
    for reference in references:
        try:
            found.append(facts_of(resolve(reference)))
        except ModelError as error:
            found.append(
                ModelFacts(reference=reference, kind="folder", is_here=False, problem=str(error))
            )
    return sorted(found, key=lambda facts: not facts.is_here)


def _place(reference: str) -> Path:
    """What two references to one file or folder have in common."""
    return (working_dir() / Path(reference).expanduser()).resolve()
