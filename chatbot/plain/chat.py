"""The plain, linear mode: lines in, streamed text out.

For pipes, screen readers and terminals that cannot do more. Renders the same events as the
TUI and has the same slash commands. Answers, and what a command was asked to show, go to
standard output; asides, progress and errors go to standard error, so that a pipe carries
nothing that was not asked for. Imports no textual.
"""

import io
import sys
from contextlib import nullcontext
from functools import partial

from chatbot.plain.asides import TerminalApprover
from chatbot.plain.face import PlainFace
from chatbot.plain.line_input import edited_lines, read_line
from chatbot.plain.load_progress import LoadPrinter
from chatbot.plain.preparing import prepare_first
from chatbot.session import Session


async def run_plain(session: Session, resume: str | None = None) -> int:
    """Run the plain mode; returns the exit status.

    Args:
        session: the pieces of this run.
        resume: the chat to go on with; see ``Session.resume``.

    With a person at the keyboard an error is something they saw and dealt with, so the
    status is 0; in a pipe it is 1.
    """
    is_interactive = sys.stdin.isatty()
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding=None if is_interactive else "utf-8", errors="replace")
    async with session:
        manager = session.manager
        printer = LoadPrinter(lambda: manager.is_busy or not is_interactive)
        session.engine.on_status(printer.show)
        for problem in session.problems:
            print(problem, file=sys.stderr)
        # A pipe does not ask again: its first question, or search, has to find everything.
        prepare = None if is_interactive else partial(prepare_first, session)
        face = PlainFace(session.manager, is_interactive=is_interactive, prepare=prepare)
        session.on_problem(face.tell)
        if is_interactive:
            session.tools.approver = TerminalApprover(read_line)
        if resume is not None:
            await session.resume(resume)
            if is_interactive:
                face.show_history()
        face.load_model()
        if is_interactive:
            session.knowledge.start()
            session.tools.start()
        with edited_lines(face.complete) if is_interactive else nullcontext():
            await face.run()
        return int(face.has_failed and not is_interactive)
