"""``chatbot ask``: one question, one answer on standard output."""

import sys
from contextlib import aclosing

from chatbot.commands.ask.answer_report import as_report, print_report, seconds_of_load
from chatbot.commands.ask.flags import Asked
from chatbot.commands.ask.running import Interrupt, forget_unanswered, show_progress
from chatbot.commands.scripting import FAILED, INTERRUPTED
from chatbot.conversation.citations import with_citations
from chatbot.conversation.source_block import sources_of
from chatbot.events import (
    PromptBuilt,
    SourcesFound,
    TextDelta,
    ThoughtDelta,
    ToolCalled,
    ToolFinished,
    TurnFinished,
    TurnStarted,
)
from chatbot.messages import Message
from chatbot.plain.answer_notes import print_sources, tell_thinking, why_ended
from chatbot.plain.asides import AsidePrinter, TerminalApprover, has_somebody, print_files
from chatbot.plain.line_input import read_line
from chatbot.plain.reading_progress import ReadingPrinter
from chatbot.session import Session


async def run_ask_one(session: Session, asked: Asked) -> int:
    """Answer a question; returns the exit status (0, 1 failed, 130 interrupted).

    Raises:
        ChatbotError: it cannot be asked.
    """
    async with session:
        show_progress(session)
        manager = session.manager
        if asked.resume is not None:
            await session.resume(asked.resume)
        if has_somebody():
            session.tools.approver = TerminalApprover(read_line)
        asides, reading = AsidePrinter(), ReadingPrinter()
        answer: Message | None = None
        has_begun = False
        interrupt = Interrupt(session)
        await interrupt.prepare(has_files=bool(asked.files))
        answering = manager.reply(
            asked.text,
            asked.overrides,
            schema=asked.schema,
            files=asked.files,
            is_foreign=asked.is_foreign,
        )
        # What goes wrong here, as a pipe that is closed, is to end it while the chats are open.
        async with aclosing(answering):
            async for event in answering:
                reading.show(event)
                match event:
                    case TurnStarted(question=question):
                        print_files(question)
                        if interrupt.has_come:
                            manager.stop()  # so that the question is kept, and reported
                    case PromptBuilt() if not has_begun:
                        has_begun = True
                        tell_thinking(manager)
                    case TextDelta(text=text) if asked.streams and not asked.as_json:
                        asides.show(event)
                        sys.stdout.write(text)
                        sys.stdout.flush()
                    case ThoughtDelta() | ToolCalled() | ToolFinished() if not asked.as_json:
                        asides.show(event)
                    case SourcesFound(found=found) if found.notice:
                        print(found.notice, file=sys.stderr)
                    case TurnFinished(answer=answer):
                        pass
        if answer is None or answer.making is None:
            print("There was no answer; ask again.", file=sys.stderr)
            return FAILED
        if answer.making.finish_reason == "error" and asked.resume is None:
            await forget_unanswered(session)
        if asked.as_json:
            await print_report(as_report(answer, seconds_of_load(session)), session)
        elif answer.text:
            marked = with_citations(answer.text, sources_of(answer), is_markdown=False)
            sys.stdout.write("\n" if asked.streams else marked + "\n")
            sys.stdout.flush()
            print_sources(answer)
        sys.stdout.flush()
        reason = answer.making.finish_reason
        if reason == "error":
            print(answer.making.error, file=sys.stderr)
            return FAILED
        if reason == "length":
            print(f"[{why_ended(reason)}]", file=sys.stderr)
            if asked.schema:  # a script would take half an object for the whole
                return FAILED
        return INTERRUPTED if reason == "cancelled" else 0
