"""From the hits of a search to the sources of an answer, with a verdict on each.

Pure: the same hits always make the same sources.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from chatbot.messages import Source, SourcesPart, Verdict
from chatbot.retrieval.protocol import Found
from chatbot.retrieval.values import Hit, Passage, place_in
from chatbot.terminal_text import clean, clean_line

NUM_CANDIDATES: Final = 20
"""Passages that are asked for; those that are not used are kept to be looked at."""

MANUAL_COSINE: Final = 0.35
"""Least cosine of a passage of the manual, which everybody has on: below it, it shares words with a
question and no subject. Of 71 everyday questions 9 were given a passage without this, and one with
it; of 48 about the program 43 and 41."""

CANDIDATE_LENGTH: Final = 300
"""Characters that are kept of a passage that the model does not get."""


def as_sources(
    found: Found,
    *,
    query: str,
    threshold: float,
    num_sources: int,
    folders: Sequence[str],
    problems: Sequence[str] = (),
    manual: str = "",
) -> SourcesPart:
    """What is used of the hits, and what is not, and why.

    Args:
        found: best first.
        query: what was searched for.
        threshold: least relevance of what is used.
        num_sources: most passages that are used.
        folders: those that were searched; of several, a location says which one it is in.
        problems: sentences about folders that could not be searched.
        manual: the folder of which only what is near in meaning is used; empty for none.
    """
    names = name_folders(folders)
    sources: list[Source] = []
    candidates: list[Source] = []
    for hit in found.hits:
        verdict = _verdict(hit, threshold, manual, is_full=len(sources) >= num_sources)
        source = msgspec.structs.replace(
            as_source(hit.passage, names), scores=hit.scores, verdict=verdict
        )
        if verdict == "used":
            sources.append(source)
        else:
            candidates.append(shortened(source, verdict))
    return SourcesPart(
        sources=tuple(sources),
        candidates=tuple(candidates),
        query=query,
        threshold=threshold,
        notice=" ".join(filter(None, (clean_line(found.notice, 500), *problems))),
        seconds=found.embedding_seconds + found.search_seconds,
    )


def limited(found: SourcesPart, num_sources: int) -> SourcesPart:
    """``found`` with only its first sources; the others are ``beyond``."""
    beyond = [shortened(source, "beyond") for source in found.sources[num_sources:]]
    return msgspec.structs.replace(
        found,
        sources=found.sources[:num_sources],
        candidates=(*beyond, *found.candidates),
    )


def shortened(source: Source, verdict: Verdict) -> Source:
    """A source that the model does not get: the beginning of its text will do."""
    text = source.text
    if len(text) > CANDIDATE_LENGTH:
        text = text[: CANDIDATE_LENGTH - 1].rstrip() + "…"
    return msgspec.structs.replace(source, text=text, verdict=verdict)


def _verdict(hit: Hit, threshold: float, manual: str, *, is_full: bool) -> Verdict:
    if hit.scores.relevance < threshold:
        return "irrelevant"
    cosine = hit.scores.dense
    if hit.passage.folder == manual and cosine is not None and cosine < MANUAL_COSINE:
        return "irrelevant"
    if hit.duplicate_of is not None:
        return "duplicate"
    return "beyond" if is_full else "used"


def as_source(passage: Passage, names: Mapping[str, str] | None = None) -> Source:
    """A passage as a source, whole and without scores.

    Args:
        passage: of an indexed document.
        names: see ``location_of``.
    """
    return Source(
        title=passage.heading_path or clean_line(passage.file, 1000).rsplit("/", 1)[-1],
        location=location_of(passage, names),
        text=clean(passage.text),
        folder=passage.folder,
        file=passage.file,
        start_line=passage.start_line,
        end_line=passage.end_line,
        page=passage.page,
        start=passage.start,
        end=passage.end,
    )


def name_folders(folders: Sequence[str]) -> dict[str, str]:
    """What to call each of several folders: its name, and as much of what is above it as tells it
    from others of that name. None where there is one, which needs no name.

    Args:
        folders: absolute paths, each once.
    """
    if len(folders) < 2:
        return {}
    names: dict[str, str] = {}
    for folder in folders:
        parts = folder.split("/")
        others = [other.split("/") for other in folders if other != folder]
        length = 1
        while length < len(parts) and parts[-length:] in (other[-length:] for other in others):
            length += 1
        names[folder] = "/".join(parts[-length:])
    return names


def location_of(passage: Passage, names: Mapping[str, str] | None = None) -> str:
    """Where a passage stands: ``settings.md:12-30``, ``paper.pdf, page 3``, ``costs.xlsx, sheet 2,
    rows 3 to 9``; cleaned.

    Args:
        passage: of an indexed document.
        names: what to call its folder, from ``name_folders``; where it has no name, none is shown.
    """
    name = clean_line(passage.file, 1000)
    if names and passage.folder in names:
        name = f"{clean_line(names[passage.folder])}/{name}"
    if passage.page is not None:
        lines = passage.start_line, passage.end_line
        return f"{name}, {place_in(passage.file, *lines, passage.page)}"
    if passage.start_line == passage.end_line:
        return f"{name}:{passage.start_line}"
    return f"{name}:{passage.start_line}-{passage.end_line}"
