"""``chatbot ask --complete``: text gone on with as it is, once or several times.

For base models, which were never made to chat, and for whoever wants to see what a model
makes of a beginning. Nothing of it is kept. Knows no conversation.
"""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from chatbot.commands.ask.flags import Asked
from chatbot.commands.ask.running import show_progress
from chatbot.commands.scripting import FAILED, INTERRUPTED, print_json
from chatbot.conversation.seeds import AnswerSeed
from chatbot.conversation.stopping import Stopped, until_stopped
from chatbot.engine.protocol.messages import ChatMessage
from chatbot.engine.protocol.variants import (
    MAX_VARIANTS,
    GenerateVariants,
    VariantDelta,
    VariantDone,
)
from chatbot.errors import ChatbotError, SettingError
from chatbot.messages import Statistics
from chatbot.plain.reading_progress import ReadingPrinter
from chatbot.session import Session
from chatbot.settings import MAX_SEED, Sampling
from chatbot.terminal_text import Cleaner

MAX_CONTINUATIONS: Final = 100
_BETWEEN: Final = "\n---\n"


def parse_count(text: str, most: int = MAX_CONTINUATIONS) -> int:
    """How many answers or continuations ``-n`` asks for.

    Raises:
        SettingError: it is no number from 1 to ``most``.
    """
    if not text.isdecimal() or len(text) > 4 or not 1 <= int(text) <= most:
        raise SettingError(f"-n must be a whole number from 1 to {most}.")
    return int(text)


async def run_completion(session: Session, asked: Asked, num_continuations: int) -> int:
    """Go on with a text; returns the exit status (0, 1 failed, 130 interrupted).

    Args:
        session: whose model and settings are used.
        asked: the beginning; only the continuation is printed.
        num_continuations: how many, each with a seed of its own; made at once.

    Raises:
        ChatbotError: it cannot be gone on with.
    """
    async with session:
        show_progress(session)
        settings = session.manager.settings
        stopped = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stopped.set)
        first = AnswerSeed().given_to(settings.sampling)
        samplings = [_seeded(first, index) for index in range(num_continuations)]
        writer = _Writer(samplings, shows=asked.streams and not asked.as_json)
        loading = session.engine.ensure_loaded(settings.model, settings.precision)
        try:
            info = await until_stopped(loading, stopped)
        except Stopped:
            return INTERRUPTED
        error = ""
        for start in range(0, num_continuations, MAX_VARIANTS):
            if stopped.is_set() or error:
                break
            batch = samplings[start : start + MAX_VARIANTS]
            try:
                await _write_batch(session, asked, batch, start, writer, stopped)
            except ChatbotError as failure:
                if not writer.done:
                    raise
                error = str(failure)  # what there is by now is not lost
        done = writer.done
        if asked.as_json:
            report = {
                "prompt": asked.text,
                "model": info.name,
                "precision": info.precision,
                "device": info.device,
                "continuations": done,
            }
            if error:
                report["error"] = error
            print_json(report)
        elif asked.streams:
            sys.stdout.write("\n")
        else:
            sys.stdout.write(_BETWEEN.join(one["text"] for one in done) + "\n")
        sys.stdout.flush()
    if error:
        print(error, file=sys.stderr)
        return FAILED
    return INTERRUPTED if stopped.is_set() else 0


def _seeded(sampling: Sampling, index: int) -> Sampling:
    """The settings of one continuation: the seed counts on, or all were the same."""
    if sampling.seed is None:
        return sampling
    return msgspec.structs.replace(sampling, seed=(sampling.seed + index) % (MAX_SEED + 1))


class _Writer:
    """The continuations as they come; printed in their order, though they are made at once."""

    def __init__(self, samplings: Sequence[Sampling], *, shows: bool) -> None:
        self._shows = shows
        self._cleaners = [Cleaner() for _ in samplings]
        self._seeds = [sampling.seed for sampling in samplings]
        self._texts: list[list[str]] = [[] for _ in samplings]
        self._ends: dict[int, dict[str, Any]] = {}
        self._current = 0
        self._num_printed = 0
        """Pieces of the one whose turn it is."""

    @property
    def done(self) -> list[dict[str, Any]]:
        """What there is of each that came to an end."""
        return [
            {"text": "".join(self._texts[n]), "seed": self._seeds[n], **self._ends[n]}
            for n in sorted(self._ends)
        ]

    def take(self, index: int, raw: str) -> None:
        """Take the next piece of a continuation."""
        self._texts[index].append(self._cleaners[index].feed(raw))
        self._print()

    def end(self, index: int, reason: str, statistics: Statistics) -> None:
        """A continuation is over."""
        self._texts[index].append(self._cleaners[index].flush())
        self._ends[index] = {
            "finish_reason": reason,
            "completion_tokens": statistics.num_new_tokens,
            "prompt_tokens": statistics.num_prompt_tokens,
        }
        self._print()

    def _print(self) -> None:
        while self._shows and self._current < len(self._texts):
            pieces = self._texts[self._current]
            sys.stdout.write("".join(pieces[self._num_printed :]))
            self._num_printed = len(pieces)
            if self._current not in self._ends:
                break
            self._current += 1
            self._num_printed = 0
            if self._current < len(self._texts):
                sys.stdout.write(_BETWEEN)
        sys.stdout.flush()


async def _write_batch(
    session: Session,
    asked: Asked,
    samplings: Sequence[Sampling],
    start: int,
    writer: _Writer,
    stopped: asyncio.Event,
) -> None:
    """Make the continuations from number ``start`` on, all at once."""
    request = GenerateVariants(
        messages=(ChatMessage("user", asked.text),),
        samplings=tuple(samplings),
        context_length=session.manager.settings.context_length,
        schema=asked.schema,
        is_completion=True,
    )
    answers = session.engine.generate_several(request)
    waiting = asyncio.create_task(_cancel_when(stopped, answers.cancel))
    reading = ReadingPrinter()
    try:
        async for event in answers:
            reading.show(event)
            match event:
                case VariantDelta(variant=index, text=piece):
                    writer.take(start + index, piece)
                case VariantDone(variant=index, finish_reason=reason, statistics=statistics):
                    writer.end(start + index, reason, statistics)
    finally:
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting


async def _cancel_when(stopped: asyncio.Event, cancel: Callable[[], None]) -> None:
    await stopped.wait()
    cancel()
