"""Asks the engine one question with tools, and holds the calls to their schemas."""

import json
from collections.abc import Sequence
from typing import Final

import msgspec

from chatbot.engine.client import Engine
from chatbot.engine.protocol.answer import (
    Delta,
    Generate,
    ToolCallBroken,
    ToolCallReady,
    ToolCallStarted,
)
from chatbot.engine.protocol.messages import ChatMessage, ToolSchema
from chatbot.settings import Sampling

GREEDY: Final = Sampling(temperature=0, max_tokens=160, repetition_penalty=1)

MAX_TEXT_TOKENS: Final = 48
"""A model that has written so much and begun no call has chosen to answer itself."""


class Calls(msgspec.Struct, frozen=True, kw_only=True):
    """What a model called in one answer."""

    ready: tuple[tuple[str, str], ...] = ()
    """Names and arguments, as JSON."""
    num_broken: int = 0
    num_invalid: int = 0
    """Calls of unknown tools, or with arguments against the tool's schema."""


async def ask(
    engine: Engine, messages: Sequence[ChatMessage], tools: Sequence[ToolSchema], *, masked: bool
) -> Calls:
    """Let the loaded model answer.

    Raises:
        ModelError: a tool's schema cannot be enforced.
    """
    ready: list[tuple[str, str]] = []
    num_broken = num_invalid = 0
    has_begun = False
    request = Generate(
        messages=tuple(messages), sampling=GREEDY, tools=tuple(tools), mask_calls=masked
    )
    generation = engine.generate(request)
    async for event in generation:
        match event:
            case Delta(num_tokens=num_tokens) if num_tokens > MAX_TEXT_TOKENS and not has_begun:
                generation.cancel()
            case ToolCallStarted():
                has_begun = True
            case ToolCallReady(name=name, arguments=arguments):
                ready.append((name, arguments))
                num_invalid += not is_valid(name, arguments, tools)
            case ToolCallBroken():
                num_broken += 1
    return Calls(ready=tuple(ready), num_broken=num_broken, num_invalid=num_invalid)


def is_valid(name: str, arguments: str, tools: Sequence[ToolSchema]) -> bool:
    """Whether a call names a tool and keeps to its schema."""
    import jsonschema

    for tool in tools:
        if tool.name == name:
            validator = jsonschema.Draft202012Validator(json.loads(tool.parameters))
            return bool(validator.is_valid(json.loads(arguments)))
    return False
