"""``chatbot ask``: one question, one answer on standard output.

The JSON form is documented in the manual; its keys are a promise.
"""

import asyncio
import signal
import sys
from typing import Any

import msgspec

from chatbot.errors import ChatbotError
from chatbot.events import PromptBuilt, TextDelta, TurnFinished
from chatbot.messages import Message
from chatbot.plain import StatusPrinter
from chatbot.session import Session

INTERRUPTED = 130


async def run_ask(session: Session, question: str, *, as_json: bool, stream: bool) -> int:
    """Answer ``question``; returns the exit status (0, 1 failed, 130 interrupted)."""
    async with session:
        for problem in session.config.problems:
            print(problem, file=sys.stderr)
        session.engine.on_status(StatusPrinter().show)
        manager = session.manager
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, manager.stop)
        answer: Message | None = None
        try:
            async for event in manager.reply(question):
                match event:
                    case TextDelta(text=text) if stream and not as_json:
                        sys.stdout.write(text)
                        sys.stdout.flush()
                    case PromptBuilt():
                        pass
                    case TurnFinished(answer=answer):
                        pass
        except ChatbotError as error:
            print(error, file=sys.stderr)
            return 1
        if answer is None or answer.making is None:
            print("There was no answer; ask again.", file=sys.stderr)
            return 1
        if as_json:
            info = session.engine.status.info
            report = as_report(answer, info.load_seconds if info else 0.0)
            sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
        elif answer.text:
            sys.stdout.write("\n" if stream else answer.text + "\n")
        sys.stdout.flush()
        if answer.making.finish_reason == "error":
            print(answer.making.error, file=sys.stderr)
            return 1
        return INTERRUPTED if answer.making.finish_reason == "cancelled" else 0


def as_report(answer: Message, load_seconds: float) -> dict[str, Any]:
    """The JSON object for an answer; ``error`` is there only when something went wrong."""
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
    if made.error:
        report["error"] = made.error
    return report
