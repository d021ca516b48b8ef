"""``chatbot search``: ranked passages of folders, which are brought up to date first.

No language model is loaded. The JSON form is documented in the manual; its keys are a promise.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from chatbot.commands.knowledge.indexing import (
    bring_up_to_date,
    new_client,
    options_of,
)
from chatbot.commands.scripting import FAILED, INTERRUPTED, print_json
from chatbot.conversation.found_sources import location_of, name_folders
from chatbot.errors import KnowledgeError
from chatbot.retrieval.values import Hit
from chatbot.settings import Settings
from chatbot.terminal_text import clean, clean_line


async def search_folders(
    queries: Sequence[str],
    paths: tuple[str, ...],
    settings: Settings,
    num_results: int,
    *,
    as_json: bool,
) -> int:
    """Print what fits each query best; returns the exit status.

    Args:
        queries: one search each.
        paths: of the folders, absolute.
        settings: name the models that embed and rank.
        num_results: most passages for each query.
        as_json: a JSON object a line in place of text.
    """
    client = new_client()
    options = options_of(settings)
    notices = set[str]()
    try:
        statuses = await bring_up_to_date(client, paths, options)
        for status in statuses:
            for sentence in filter(None, (status.error, status.notice)):
                print(clean_line(sentence, 500), file=sys.stderr)
        if not statuses or any(status.stage == "cancelled" for status in statuses):
            return INTERRUPTED
        is_stale = all(status.stage == "failed" for status in statuses)
        for query in queries:
            try:
                found = await client.search(
                    query,
                    paths,
                    options,
                    num_hits=num_results,
                    reranker=settings.reranker,
                )
            except KnowledgeError:
                if is_stale:  # there is nothing from before either, and why is said already
                    return FAILED
                raise
            hits = [hit for hit in found.hits if hit.duplicate_of is None][:num_results]
            if as_json:
                results = [_as_json(hit) for hit in hits]
                print_json({"query": query, "results": results})
            else:
                if len(queries) > 1:
                    print(f"## {clean_line(query)}\n")
                print("\n".join(_as_text(query, hits, name_folders(paths))))
            if found.notice and found.notice not in notices:
                notices.add(found.notice)
                print(clean_line(found.notice, 500), file=sys.stderr)
    finally:
        await client.close()
    sys.stdout.flush()
    return 0


def _score(hit: Hit) -> float:
    return hit.scores.fused if hit.scores.reranked is None else hit.scores.reranked


def _as_json(hit: Hit) -> dict[str, Any]:
    passage = hit.passage
    return {
        "file": passage.file,
        "start_line": passage.start_line,
        "end_line": passage.end_line,
        "page": passage.page,
        "start": passage.start,
        "end": passage.end,
        "score": _score(hit),
        "text": passage.text,
        "folder": passage.folder,
        "title": " › ".join(passage.headings),
        "scores": msgspec.structs.asdict(hit.scores),
    }


def _as_text(query: str, hits: list[Hit], names: Mapping[str, str]) -> Iterator[str]:
    if not hits:
        yield f"Nothing was found for “{clean_line(query)}”."
    for number, hit in enumerate(hits, 1):
        title = hit.passage.heading_path
        place = location_of(hit.passage, names)
        scores = f"score {_score(hit):.4f}, relevance {hit.scores.relevance:.2f}"
        yield " · ".join(filter(None, (f"{number}. {place}", title, scores)))
        yield from (f"   {line}".rstrip() for line in clean(hit.passage.text).splitlines())
        yield ""
