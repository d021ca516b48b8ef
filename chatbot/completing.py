"""``chatbot ask --complete``: text gone on with as it is, once or several times.

For base models, which were never made to chat, and for whoever wants to see what a model
makes of a beginning. Nothing of it is kept. Knows no conversation.
"""

import asyncio
import contextlib
import signal
import sys
from typing import Any, Final

import msgspec

from chatbot.engine.protocol import Delta, Generated, ThinkingDelta
from chatbot.errors import ChatbotError, SettingError
from chatbot.plain import StatusPrinter
from chatbot.session import Session
from chatbot.settings import MAX_SEED, Sampling
from chatbot.terminal_text import Cleaner

INTERRUPTED: Final = 130
MAX_CONTINUATIONS: Final = 100


def parse_count(text: str) -> int:
    """How many continuations ``-n`` asks for.

    Raises:
        SettingError: it is no such number.
    """
    if not text.isdecimal() or not 1 <= int(text) <= MAX_CONTINUATIONS:
        raise SettingError(f"-n must be a whole number from 1 to {MAX_CONTINUATIONS}.")
    return int(text)


async def run_completion(
    session: Session, text: str, num_continuations: int, *, as_json: bool, stream: bool
) -> int:
    """Go on with ``text``; returns the exit status (0, 1 failed, 130 interrupted).

    Args:
        session: whose model and settings are used.
        text: the beginning; only the continuation is printed.
        num_continuations: how many, each with a seed of its own.
        as_json: print one JSON object instead of text.
        stream: print the text as it comes.
    """
    async with session:
        for problem in session.config.problems:
            print(problem, file=sys.stderr)
        session.engine.on_status(StatusPrinter().show)
        settings = session.manager.settings
        stopped = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stopped.set)
        done: list[dict[str, Any]] = []
        try:
            info = await session.engine.ensure_loaded(settings.model, settings.precision)
            for index in range(num_continuations):
                if index and stream and not as_json:
                    sys.stdout.write("\n---\n")
                sampling = _seeded(settings.sampling, index)
                done.append(
                    await _one(session, text, sampling, stopped, shows=stream and not as_json)
                )
                if stopped.is_set():
                    break
        except ChatbotError as error:
            print(error, file=sys.stderr)
            return 1
        if as_json:
            report = {
                "prompt": text,
                "model": info.name,
                "precision": info.precision,
                "device": info.device,
                "continuations": done,
            }
            sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
        elif stream:
            sys.stdout.write("\n")
        else:
            sys.stdout.write("\n---\n".join(one["text"] for one in done) + "\n")
        sys.stdout.flush()
    return INTERRUPTED if stopped.is_set() else 0


def _seeded(sampling: Sampling, index: int) -> Sampling:
    """The settings of one continuation: a seed that was set counts on, or all were the same."""
    if sampling.seed is None:
        return sampling
    return msgspec.structs.replace(sampling, seed=(sampling.seed + index) % (MAX_SEED + 1))


async def _one(
    session: Session, text: str, sampling: Sampling, stopped: asyncio.Event, *, shows: bool
) -> dict[str, Any]:
    """One continuation, printed as it comes where ``shows`` says so."""
    cleaner, pieces = Cleaner(), list[str]()
    answer = session.engine.complete(text, sampling, session.manager.settings.context_length)
    waiting = asyncio.create_task(_cancel_when(stopped, answer.cancel))
    result: dict[str, Any] = {"text": "", "finish_reason": "error", "seed": sampling.seed}

    def take(piece: str) -> None:
        pieces.append(piece)
        if shows:
            sys.stdout.write(piece)
            sys.stdout.flush()

    try:
        async for event in answer:
            match event:
                case Delta(text=piece) | ThinkingDelta(text=piece):
                    take(cleaner.feed(piece))
                case Generated(finish_reason=reason, statistics=statistics):
                    result["finish_reason"] = reason
                    result["completion_tokens"] = statistics.num_new_tokens
                    result["prompt_tokens"] = statistics.num_prompt_tokens
    finally:
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
    take(cleaner.flush())
    result["text"] = "".join(pieces)
    return result


async def _cancel_when(stopped: asyncio.Event, cancel: Any) -> None:
    await stopped.wait()
    cancel()
