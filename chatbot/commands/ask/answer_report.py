"""The JSON object for an answer. It is documented in the manual; its keys are a promise."""

from typing import Any

import msgspec

from chatbot.commands.scripting import print_json
from chatbot.conversation.source_block import sources_of
from chatbot.messages import (
    Message,
    Source,
    SourcesPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)
from chatbot.session import Session


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


def seconds_of_load(session: Session) -> float:
    """How long the model took to load; 0 where none is."""
    info = session.engine.status.info
    return info.load_seconds if info else 0.0


async def print_report(report: dict[str, Any], session: Session) -> None:
    """Print a JSON object, with the chat that the answer is kept in, if it is."""
    await session.manager.settled()
    if session.manager.is_kept:
        report = {**report, "chat_id": session.manager.conversation.id}
    print_json(report)
