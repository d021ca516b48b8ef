"""An answer as the model is given it again: its calls and their results as messages of their own.

The messages begin with the very tokens that the model wrote, wherever it wrote them, because
the cached prefix of the next prompt depends on it. Knows neither the engine nor the tools.
"""

from collections.abc import Sequence
from typing import Final

from chatbot.engine.protocol.messages import ChatMessage, ToolCall
from chatbot.messages import (
    FilePart,
    ImagePart,
    Message,
    Part,
    SourcesPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)

PARAGRAPH: Final = "\n\n"
"""Put before text that follows a tool's result, so that the answer reads as one; the model did
not write it and is not given it."""

_NOT_RUN: Final = "Error: the call was not run."


class _Round:
    """One message of the model, and the results of the calls it ends with."""

    def __init__(self) -> None:
        self.thinking: list[str] = []
        self.content: list[str] = []
        self.calls: list[ToolCallPart] = []
        self.results: dict[str, ToolResultPart] = {}

    def take(self, part: Part) -> None:
        match part:
            case ThinkingPart(text=text):
                self.thinking.append(text)
            case TextPart(text=text):
                self.content.append(text)
            case ToolCallPart():
                self.calls.append(part)
            case ToolResultPart(call_id=call_id):
                self.results[call_id] = part
            case SourcesPart() | FilePart() | ImagePart():
                pass

    @property
    def messages(self) -> list[ChatMessage]:
        calls = tuple(
            ToolCall(id=c.id, name=c.name, arguments=c.arguments, raw=c.raw) for c in self.calls
        )
        answer = ChatMessage(
            "assistant", "".join(self.content), calls, thinking="".join(self.thinking)
        )
        return [answer, *map(self._result, self.calls)]

    def _result(self, call: ToolCallPart) -> ChatMessage:
        result = self.results.get(call.id)
        text = result.text if result else _NOT_RUN
        if result and result.is_error:
            text = f"Error: {text}"
        return ChatMessage("tool", text, call_id=call.id, name=call.name)


def answer_messages(parts: Sequence[Part]) -> list[ChatMessage]:
    """An answer that is being written, as far as it is: at least one message."""
    rounds = [_Round()]
    has_words = False
    for part in parts:
        if rounds[-1].results and not isinstance(part, ToolResultPart):
            rounds.append(_Round())
        if isinstance(part, TextPart):
            if has_words and not rounds[-1].content:
                part = TextPart(part.text.removeprefix(PARAGRAPH))
            has_words = has_words or bool(part.text.strip())
        rounds[-1].take(part)
    return [message for each in rounds for message in each.messages]


def finished_messages(answer: Message) -> list[ChatMessage]:
    """An earlier answer. It always ends with words of the model, as templates want it: calls
    after which it wrote nothing more are left out.
    """
    messages = answer_messages(answer.parts)
    while messages and (messages[-1].role == "tool" or not messages[-1].content.strip()):
        last = messages.pop()
        if last.role == "tool":
            while messages[-1].role == "tool":
                messages.pop()
            content, thinking = messages[-1].content, messages[-1].thinking
            messages[-1] = ChatMessage("assistant", content, thinking=thinking)
    return messages or [ChatMessage("assistant", answer.text)]
