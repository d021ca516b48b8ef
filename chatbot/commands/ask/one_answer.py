"""``chatbot ask``: one question, one answer on standard output.

The JSON form is documented in the manual; its keys are a promise.
"""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from chatbot.commands.ask.flags import Asked
from chatbot.commands.status import FAILED, INTERRUPTED
from chatbot.conversation.citations import with_citations
from chatbot.conversation.keeping import says_something
from chatbot.conversation.manager import NOT_READ
from chatbot.conversation.prompt_arguments import add_input, parse_pairs
from chatbot.conversation.prompt_library import load_library
from chatbot.conversation.source_block import sources_of
from chatbot.errors import ChatbotError, PromptUsageError, StoppedError
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
from chatbot.messages import (
    Message,
    Source,
    SourcesPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)
from chatbot.plain.answer_notes import print_sources, tell_thinking, why_ended
from chatbot.plain.asides import AsidePrinter, TerminalApprover, has_somebody, print_files
from chatbot.plain.line_input import read_line
from chatbot.plain.load_progress import LoadPrinter
from chatbot.plain.preparing import prepare_first
from chatbot.plain.progress_line import ProgressLine
from chatbot.plain.reading_progress import ReadingPrinter
from chatbot.session import Session


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked, and how, by a prompt of the library."""

    text: str
    overrides: Mapping[str, str] = {}
    """Settings for this answer alone, by name, as the user would type them."""
    system_prompt: str = ""
    """A persona's; empty to leave the one that is set."""


def question_by_prompt(
    name: str, pairs: Sequence[str], text: str, flags: Collection[str]
) -> Question:
    """The question that a prompt of the library makes.

    Args:
        name: the prompt's.
        pairs: its variables, each as ``name=value``.
        text: what is asked; the variable ``input`` of a prompt that is sent.
        flags: names of the settings that the command line gives: they count more than the
            prompt's.

    Raises:
        PromptUsageError: there is no such prompt, or its variables are not right.
        PromptError: the prompt cannot be rendered.
    """
    library = load_library()
    for problem in library.problems:
        print(problem, file=sys.stderr)
    prompt = library.get(name)
    values = parse_pairs(prompt, pairs)
    if prompt.kind == "persona":
        if "system_prompt" in flags:
            raise PromptUsageError(
                f"{prompt.name} is a persona, and sets the system prompt: leave --system out."
            )
        return Question(text=text, system_prompt=prompt.fill(values).text)
    filled = prompt.fill(add_input(prompt, values, text))
    settings = {n: value for n, value in prompt.settings.items() if n not in flags}
    return Question(text=filled.text, overrides=settings)


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


async def forget_unanswered(session: Session) -> None:
    """Leave no new chat behind in which nothing was answered, as by a model that is not there."""
    messages = session.manager.conversation.messages()
    has_answer = any(m.role == "assistant" and says_something(m) for m in messages)
    if session.store and not has_answer:
        await session.manager.settled()
        await session.manager.delete_chat()


def show_progress(session: Session) -> None:
    """Have what is wrong, and what the engine does, told on standard error."""
    for problem in session.problems:
        print(problem, file=sys.stderr)
    session.engine.on_status(LoadPrinter().show)
    session.on_problem(ProgressLine.print)


def seconds_of_load(session: Session) -> float:
    """How long the model took to load; 0 where none is."""
    info = session.engine.status.info
    return info.load_seconds if info else 0.0


async def print_report(report: dict[str, Any], session: Session) -> None:
    """Print a JSON object, with the chat that the answer is kept in, if it is."""
    await session.manager.settled()
    if session.manager.is_kept:
        report = {**report, "chat_id": session.manager.conversation.id}
    sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    sys.stdout.flush()


class Interrupt:
    """Ctrl+C, at whatever moment of a run it comes: none is lost between two of its stages."""

    def __init__(self, session: Session) -> None:
        """Listen for it, inside the event loop, to the end of the run."""
        self.has_come = False
        """To be asked once the answer has begun: before, nothing could be stopped."""
        self._session = session
        self._index: asyncio.Task[None] | None = None
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._come)

    def _come(self) -> None:
        self.has_come = True
        if self._index:
            self._index.cancel()
        self._session.manager.stop()

    async def prepare(self, *, has_files: bool = False) -> None:
        """Have the folders indexed and the model loaded, side by side, or break that off.

        A model that cannot be loaded is told of by the turn that needs it.

        Args:
            has_files: files are to be read next, which need not begin if it was broken off.

        Raises:
            ChatbotError: the folders cannot be indexed.
            StoppedError: it was broken off before files.
        """
        load = asyncio.create_task(_loaded(self._session))
        self._index = asyncio.create_task(prepare_first(self._session))
        try:
            await self._index
        except asyncio.CancelledError:
            self._session.retrieval.cancel_index()
        finally:
            load.cancel()  # the engine goes on with it, for the turn
        if has_files and self.has_come:
            raise StoppedError(NOT_READ)


async def _loaded(session: Session) -> None:
    with contextlib.suppress(ChatbotError):
        await session.manager.load_model()


def as_report(answer: Message, load_seconds: float) -> dict[str, Any]:
    """The JSON object for an answer.

    ``error`` is there only when something went wrong, ``notice`` only where the search was not
    what it should be, ``thinking`` and its size only where the model thought.
    """
    made = answer.making
    if made is None:
        raise ValueError("only an answer can be reported")
    statistics = made.statistics
    report: dict[str, Any] = {
        "text": answer.text,
        "finish_reason": made.finish_reason,
        "model": made.model,
        "precision": made.precision,
        "device": made.device,
        "settings": msgspec.structs.asdict(made.sampling),
        "usage": {
            "prompt_tokens": statistics.num_prompt_tokens if statistics else 0,
            "cached_tokens": statistics.num_cached_tokens if statistics else 0,
            "completion_tokens": statistics.num_new_tokens if statistics else 0,
        },
        "timings": {
            "load_seconds": round(load_seconds, 3),
            "first_token_seconds": round(statistics.first_token_seconds, 4) if statistics else 0.0,
            "tokens_per_second": round(statistics.tokens_per_second, 2) if statistics else 0.0,
        },
    }
    report |= _report_of_sources(sources_of(answer) or SourcesPart(()))
    report["tool_calls"] = _report_of_calls(answer)
    if thoughts := [part for part in answer.parts if isinstance(part, ThinkingPart)]:
        report["thinking"] = "".join(part.text for part in thoughts)
        report["thinking_tokens"] = sum(part.num_tokens for part in thoughts)
        report["thinking_seconds"] = round(sum(part.seconds for part in thoughts), 3)
    if made.error:
        report["error"] = made.error
    return report


def _report_of_sources(found: SourcesPart) -> dict[str, Any]:
    report: dict[str, Any] = {
        "sources": [_source_report(n, source) for n, source in enumerate(found.sources, 1)],
        "support": [
            {
                "start": sentence.start,
                "end": sentence.end,
                "source": None if sentence.source is None else sentence.source + 1,
                "score": round(sentence.score, 4),
            }
            for sentence in found.support
        ],
        "declined": found.is_declined,
    }
    if found.notice:
        report["notice"] = found.notice
    return report


def _report_of_calls(answer: Message) -> list[dict[str, Any]]:
    results = {part.call_id: part for part in answer.parts if isinstance(part, ToolResultPart)}
    report = []
    for call in answer.parts:
        if not isinstance(call, ToolCallPart):
            continue
        result = results.get(call.id, ToolResultPart(call_id=call.id, text=""))
        report.append(
            {
                "name": call.name,
                "arguments": _as_value(call.arguments),
                "result": None if result.is_error else result.text,
                "error": result.text if result.is_error else None,
                "seconds": round(result.seconds, 3),
                "approved_by": result.approved_by or None,
            }
        )
    return report


def _as_value(arguments: str) -> Any:
    """What the JSON says; a text that is none as it is."""
    try:
        return msgspec.json.decode(arguments)
    except msgspec.DecodeError:
        return arguments


def _source_report(number: int, source: Source) -> dict[str, Any]:
    return {
        "index": number,
        "file": source.file,
        "folder": source.folder,
        "title": source.title,
        "start_line": source.start_line,
        "end_line": source.end_line,
        "page": source.page,
        "start": source.start,
        "end": source.end,
        "text": source.text,
        "scores": msgspec.structs.asdict(source.scores),
    }
