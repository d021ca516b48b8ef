"""All models that are known: the catalogue, the hub's cache, what was imported, and the
folders and GGUF files that are in use.

Asks no network.
"""

from collections.abc import Iterable

from chatbot.errors import ModelError
from chatbot.models.catalogue import catalogue, find_entry
from chatbot.models.facts import ModelFacts, facts_of
from chatbot.models.hub_cache import cached_repos
from chatbot.models.notebook import read_notebook
from chatbot.models.references import resolve


def list_models(in_use: Iterable[str] = ()) -> list[ModelFacts]:
    """Each model once, those that are here first.

    Args:
        in_use: references that are to be in the list whatever else is.
    """
    references = dict.fromkeys([*in_use, *read_notebook().imported, *catalogue()])
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
