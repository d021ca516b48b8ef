"""A knowledge folder in words and bars: in the sidebar, the status line and its own screen.

Pure functions from values to what is drawn. Knows no widget.
"""

from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len
from textual.content import Content

from chatbot.conversation.folders import FolderState
from chatbot.retrieval.values import FolderStatus
from chatbot.terminal_text import clean_line
from chatbot.tui.drawing.cells import OFF, ON, draw_bar, fitted
from chatbot.wording import counted, duration, size

_STAGES: Final = {
    "waiting": "waiting for another program",
    "scanning": "looking for files",
    "reading": "reading",
    "embedding": "embedding",
    "ready": "ready",
    "cancelled": "stopped",
    "failed": "failed",
}


def share_done(status: FolderStatus) -> float:
    """How far the stage is that a folder is in, 0 to 1."""
    if status.stage == "reading":
        return status.num_files_done / max(status.num_files, 1)
    if status.stage == "ready":
        return 1.0
    return status.num_embedded / max(status.num_passages, 1)


def is_working(status: FolderStatus) -> bool:
    """Whether something is being done to a folder."""
    return status.stage in ("waiting", "scanning", "reading", "embedding")


def work_words(statuses: Sequence[FolderStatus]) -> str:
    """What is being done to the folders, briefly; nothing when all are ready."""
    working = [status for status in statuses if is_working(status)]
    if not working:
        return ""
    if any(status.stage in ("scanning", "waiting") for status in working):
        return "knowledge: looking for files"
    if any(status.stage == "reading" for status in working):
        done = sum(status.num_files_done for status in working)
        return f"knowledge {done / max(sum(s.num_files for s in working), 1):.0%} read"
    done = sum(status.num_embedded for status in working)
    return f"knowledge {done / max(sum(s.num_passages for s in working), 1):.0%} embedded"


def num_problems(statuses: Sequence[FolderStatus]) -> int:
    """Files of all folders that could not be read."""
    return sum(status.num_problems for status in statuses)


def folder_line(state: FolderState, width: int) -> Content:
    """A folder in one line: whether it is searched, and how far its index is.

    ``☑ manual  ▰▰▰▱ 63 %``
    """
    mark = ON if state.folder.is_on else OFF
    about, colour = _brief(state)
    name = fitted(state.name, max(width - len(about) - 4, 6), keep_end=True)
    gap = " " * max(width - 2 - cell_len(name) - len(about), 1)
    style = "" if state.folder.is_on else "dim"
    return Content.assemble((f"{mark} ", "$text-accent"), (name, style), gap, (about, colour))


def _brief(state: FolderState) -> tuple[str, str]:
    """The state in a few characters, and its colour."""
    status = state.status
    if state.problem:
        return "✗ not there", "$text-error"
    if not state.folder.is_on:
        return "off", "dim"
    if status is None:
        return "", "dim"
    if status.stage == "failed":
        return "✗ failed", "$text-error"
    problems = f" ▲{status.num_problems}" if status.num_problems else ""
    if status.stage in ("reading", "embedding"):
        share = share_done(status)
        return f"{draw_bar(share, 5)} {share:.0%}{problems}", "$text-primary"
    if status.stage == "ready":
        return f"{status.num_passages:,}{problems or ' ✓'}", "$text-success"
    return _STAGES[status.stage].split(" for ")[0], "$text-warning"


def folder_rows(state: FolderState, width: int) -> Content:
    """A folder in the list of its screen: name and place, a bar, and all that is counted."""
    mark = ON if state.folder.is_on else OFF
    place = clean_line(state.path, 500)
    name = fitted(state.name, width - 2, keep_end=True)
    head = [(f"{mark} ", "$text-accent"), (name, "bold")]
    room = width - 4 - cell_len(name)
    if place != state.name and room > 12:
        head.append((f"  {fitted(place, room, keep_end=True)}", "dim"))
    return Content("\n").join((Content.assemble(*head), *_counts(state, width)))


def _counts(state: FolderState, width: int) -> list[Content]:
    status = state.status
    if state.problem:
        return [Content.styled(fitted(f"  ✗ {state.problem}", width), "$text-error"), Content("")]
    if not state.folder.is_on:
        return [Content.styled("  off: not searched; Space switches it on", "dim"), Content("")]
    if status is None:
        return [Content.styled("  not looked at yet", "dim"), Content("")]
    share = share_done(status)
    bar = draw_bar(share, 12 if width < 100 else 30)
    colour = "$text-success" if status.stage == "ready" else "$text-primary"
    stage = f" {_STAGES[status.stage]}"
    if is_working(status) and status.stage != "scanning":
        stage += f" {share:.0%}"
    if status.seconds_left is not None and is_working(status):
        stage += f" · {duration(status.seconds_left)} left"
    first = Content.assemble(f"  {'':<2}", (bar, colour), (stage, colour))
    notice: list[Content] = []
    if status.notice:
        text = fitted(f"    ▲ {clean_line(status.notice, 300)}", width)
        notice = [Content.styled(text, "$text-warning")]
    if status.error:
        text = fitted(f"    ✗ {clean_line(status.error, 300)}", width)
        return [first, Content.styled(text, "$text-error"), *notice]
    facts = [counted(status.num_files, "file"), counted(status.num_passages, "passage")]
    if status.num_passages:
        facts.append(f"{status.num_embedded / status.num_passages:.0%} embedded")
    facts.append(size(status.num_bytes))
    second: list[str | tuple[str, str]] = [(f"    {' · '.join(facts)}", "dim")]
    if status.num_problems:
        second.append((f" · ▲ {counted(status.num_problems, 'problem')}", "$text-warning"))
    if status.num_ignored:
        second.append((f" · {status.num_ignored:,} left out", "dim"))
    return [first, Content.assemble(*second), *notice]
