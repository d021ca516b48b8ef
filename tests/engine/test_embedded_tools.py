"""The embedded model calls a tool, and uses what comes back."""

import pytest
import torch

from chatbot.engine.answer import answer
from chatbot.engine.inbox import Control
from chatbot.engine.loading import LoadedModel, load
from chatbot.engine.model_reference import find_model
from chatbot.engine.protocol import (
    ChatMessage,
    Delta,
    Generate,
    Generated,
    ToolCall,
    ToolCallReady,
)
from chatbot.settings import Sampling
from tests.engine.tool_schemas import CALCULATE

GREEDY = Sampling(temperature=0, max_tokens=60)


@pytest.fixture(scope="module")
def embedded(models_cache: object) -> LoadedModel:
    found = find_model("smollm2-135m", lambda *_: None)
    return load(found, "bf16", torch.device("cpu"), lambda *_: None)


def test_17_times_23(embedded: LoadedModel) -> None:
    question = (ChatMessage("user", "What is 17 * 23?"),)

    def ask(messages: tuple[ChatMessage, ...]) -> list[object]:
        request = Generate(messages=messages, sampling=GREEDY, tools=(CALCULATE,))
        return list(answer(embedded, request, Control(GREEDY)))

    events = ask(question)
    (call,) = (event for event in events if isinstance(event, ToolCallReady))
    first = events[-1]
    assert isinstance(first, Generated)
    assert first.finish_reason == "tool_calls"
    assert (call.name, call.arguments) == ("calculate", '{"expression": "17 * 23"}')

    made = ToolCall(id="1", name=call.name, arguments=call.arguments, raw=call.raw)
    result = ChatMessage("tool", "391", call_id="1", name=call.name)
    events = ask((*question, ChatMessage("assistant", "", tool_calls=(made,)), result))
    last = events[-1]
    assert isinstance(last, Generated)
    assert last.finish_reason == "stop"
    assert "391" in "".join(event.text for event in events if isinstance(event, Delta))
    # All that was read and written before is still there; the last token was never read.
    before = first.statistics.num_prompt_tokens + first.statistics.num_new_tokens
    assert last.statistics.num_cached_tokens == before - 1
