"""Slash commands about the knowledge folders, and about the sources of an answer."""

from collections.abc import Mapping, Sequence
from typing import Final

from chatbot.conversation.commands.face import Command, Face
from chatbot.conversation.commands.quoting import unquoted
from chatbot.conversation.folders import FolderState, find_folder, path_of
from chatbot.conversation.knowledge import Knowledge
from chatbot.conversation.source_block import sources_of
from chatbot.errors import CommandError, KnowledgeError
from chatbot.fencing import fenced
from chatbot.messages import Source, SourcesPart
from chatbot.terminal_text import clean, clean_line
from chatbot.wording import elapsed

_VERBS: Final = {
    "add": "searches another folder",
    "remove": "takes a folder off the list; its files stay",
    "on": "searches a folder of the list",
    "off": "does not search it for now",
    "problems": "lists the files that could not be read",
    "index": "looks through all of them for changes",
}

NUM_PROBLEMS = 50
"""Most files that ``/knowledge problems`` names."""


async def _knowledge(face: Face, arguments: str) -> None:
    knowledge = _knowledge_of(face)
    verb, _, rest = arguments.partition(" ")
    rest = unquoted(rest)
    match verb.lower():
        case "":
            face.show_note(_folder_list(knowledge))
        case "add":
            state = knowledge.add_folder(rest)
            face.show_note(f"`{state.name}` is searched now.{_for_this_run(face)}")
        case "remove":
            folder = knowledge.remove_folder(rest)
            place = clean_line(str(path_of(folder)), 1000)
            face.show_note(
                f"`{clean_line(folder.path)}` is searched no longer.{_for_this_run(face)} Its "
                f"index stays until `chatbot index --forget {place}`."
            )
        case "on" | "off":
            state = knowledge.switch_folder(rest, is_on=verb.lower() == "on")
            face.show_note(f"`{state.name}` is {verb.lower()}.{_for_this_run(face)}")
        case "problems":
            face.show_note(await _problems(knowledge, rest))
        case "index":
            knowledge.keep_searchable()
            face.show_note("The folders are being gone through for changes.")
        case _:
            verbs = ", ".join(_VERBS)
            raise CommandError(f"/knowledge takes one of {verbs}; alone it lists the folders.")
    if verb.lower() in ("add", "remove", "on", "off"):
        face.show_settings()


def _knowledge_of(face: Face) -> Knowledge:
    if face.manager.knowledge is None:
        raise KnowledgeError(
            "There is no knowledge in this run; start the program without -k none."
        )
    return face.manager.knowledge


def _for_this_run(face: Face) -> str:
    return "" if face.manager.keeps_folders else " That is for this run alone, as -k is."


def _folder_list(knowledge: Knowledge) -> str:
    if not knowledge.folders:
        return "There are no knowledge folders; `/knowledge add ~/notes` adds one."
    lines = ["**Knowledge folders**", "", *map(_folder_line, knowledge.folders)]
    if knowledge.error:
        lines += ["", knowledge.error]
    return "\n".join(lines)


def _folder_line(state: FolderState) -> str:
    return f"- `{state.name}` {describe_folder(state)}"


def describe_folder(state: FolderState) -> str:
    """How one folder stands, in words: ``ready · 17 files · 212 passages``."""
    if not state.folder.is_on:
        return "off"
    if state.problem:
        return state.problem
    status = state.status
    if status is None:
        return "on · not looked at yet"
    if status.stage == "failed":
        return " ".join(filter(None, (status.error or "failed", status.notice)))
    parts = [status.stage, f"{status.num_files:,} files", f"{status.num_passages:,} passages"]
    if status.num_embedded < status.num_passages:
        parts.append(f"{status.num_embedded / status.num_passages:.0%} embedded")
    if status.num_problems:
        parts.append(f"{status.num_problems:,} with problems (`/knowledge problems`)")
    if status.num_ignored:
        parts.append(f"{status.num_ignored:,} left out by `.chatbotignore` and `.gitignore`")
    if status.notice:
        parts.append(clean_line(status.notice, 500))
    return " · ".join(parts)


async def _problems(knowledge: Knowledge, text: str) -> str:
    states = [state for state in knowledge.folders if state.folder.is_on]
    if text:
        folder = find_folder([state.folder for state in knowledge.folders], text)
        states = [state for state in knowledge.folders if state.folder == folder]
    lines: list[str] = []
    num_left = 0
    for state in states:
        if state.problem:
            lines.append(f"- {state.problem}")
            continue
        documents = await knowledge.retrieval.list_documents(state.path)
        found = [document for document in documents if document.problem]
        room = max(0, NUM_PROBLEMS - len(lines))
        num_left += max(0, len(found) - room)
        lines += [
            f"- `{clean_line(document.file)}` {clean_line(document.problem, 500)}"
            for document in found[:room]
        ]
    if not lines:
        return "Every file of the folders is in the index."
    if num_left:
        lines.append(f"- … and {num_left:,} more; `chatbot index` lists all of them.")
    return "\n".join(["**Not in the index**", "", *lines])


async def _sources(face: Face, arguments: str) -> None:
    answer = face.manager.conversation.last("assistant")
    if answer is None:
        raise CommandError("There is no answer yet; ask a question first.")
    part = sources_of(answer)
    if part is None:
        raise CommandError("The last answer was given without a search; ask with a folder on.")
    listed = [*part.sources, *part.candidates]
    if not arguments:
        face.show_sources(part)
        return
    if not listed:
        raise CommandError(" ".join(filter(None, ("The last answer has no sources.", part.notice))))
    if not arguments.isdecimal() or not 1 <= int(arguments) <= len(listed):
        raise CommandError(f"Name a source by its number, 1 to {len(listed)}: /sources 1")
    number = int(arguments)
    source = await _knowledge_of(face).in_full(listed[number - 1])
    face.show_note(source_in_full(number, source))


def sources_list(part: SourcesPart) -> str:
    """All that was looked at for an answer, the best first, as a Markdown list."""
    listed = [*part.sources, *part.candidates]
    if not listed:
        return " ".join(filter(None, ("Nothing was found.", part.notice)))
    about = (
        f"Searched for “{clean_line(part.query)}” in {elapsed(part.seconds)}; "
        f"used from a relevance of {part.threshold:.2f} on."
    )
    lines = [_list_item(number, source) for number, source in enumerate(listed, 1)]
    return "\n".join([about, "", *lines, *(["", part.notice] if part.notice else [])])


def _list_item(number: int, source: Source) -> str:
    scores = source.scores
    figures = [
        f"relevance {scores.relevance:.2f}",
        _figure("words", scores.lexical, 2),
        _figure("meaning", scores.dense, 3),
        f"fused {scores.fused:.4f}",
        _figure("reranked", scores.reranked, 3),
    ]
    about = " · ".join([source.verdict, *filter(None, figures)])
    return f"{number}. {_as_code(f'{source.location} · {source.title}')}  \n   {about}"


def _figure(name: str, value: float | None, digits: int) -> str:
    """Empty where there is none."""
    return "" if value is None else f"{name} {value:.{digits}f}"


def _as_code(text: str) -> str:
    """A text out of a document, which in code cannot act as Markdown."""
    return f"`{text.replace('`', chr(39))}`"


def source_in_full(number: int, source: Source) -> str:
    """A passage with its place and its text, which cannot act as Markdown."""
    place = _as_code(f"{source.location} · {source.title}")
    text = fenced(clean(source.text), "text")
    return f"**{number}.** {place} · {source.verdict}\n\n{text}"


async def _search(face: Face, arguments: str) -> None:
    if not arguments:
        raise CommandError("Say what to look for: /search top-p")
    knowledge = _knowledge_of(face)
    if not knowledge.paths:
        missing = next((s.problem for s in knowledge.folders if s.folder.is_on and s.problem), "")
        raise KnowledgeError(missing or "No folder is on; /knowledge add ~/notes adds one.")
    part = await knowledge.search(arguments, num_sources=5)
    shown = [await knowledge.in_full(source) for source in part.sources or part.candidates[:3]]
    texts = [source_in_full(number, source) for number, source in enumerate(shown, 1)]
    face.show_note("\n\n".join([*texts, sources_list(part)]))


def _knowledge_words(face: Face, before: Sequence[str]) -> Mapping[str, str]:
    if not before:
        return _VERBS
    knowledge = face.manager.knowledge
    if knowledge is None or before[1:] or before[0] not in ("remove", "on", "off", "problems"):
        return {}
    return {clean_line(state.folder.path): "" for state in knowledge.folders}


COMMANDS = (
    Command(
        "knowledge",
        "[VERB [DIR]]",
        f"lists the knowledge folders; verbs: {', '.join(_VERBS)}.",
        _knowledge,
        _knowledge_words,
        lambda words: not words or words[0].lower() == "problems",
    ),
    Command("sources", "[N]", "shows where the last answer was looked up, or passage N.", _sources),
    Command(
        "search",
        "WORDS",
        "shows the passages that fit best, without an answer.",
        _search,
        needs_folders=bool,
    ),
)
