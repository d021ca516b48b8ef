"""The embedded model calls a tool, and uses what comes back."""

import json

import pytest
import torch

from chatbot.engine.answer import answer
from chatbot.engine.answer_reader import call_grammar
from chatbot.engine.dialects.compact import COMPACT
from chatbot.engine.finding import find_model
from chatbot.engine.inbox import Control
from chatbot.engine.loading import LoadedModel, load
from chatbot.engine.protocol.answer import Delta, Generate, Generated, ToolCallReady
from chatbot.engine.protocol.messages import ChatMessage, ToolCall
from chatbot.settings import Sampling
from tests.engine.tool_schemas import CALCULATE, WEATHER, tool

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
    # All that was read and written before is still there; the last token was never read, unless
    # it had been guessed.
    before = first.statistics.num_prompt_tokens + first.statistics.num_new_tokens
    assert before - 1 <= last.statistics.num_cached_tokens < last.statistics.num_prompt_tokens


@pytest.mark.parametrize(
    ("begun", "splits"),
    [
        # Only a string may follow, and its quotation mark is one token with the blank.
        ('{"tool": "calculate", "arguments": {"expression":', True),
        # Here too, in the middle of an object.
        ('{"tool": "weather", "arguments": {"place": "Graz",', True),
        # Digits have no token with a blank of their own.
        ('{"tool": "weather", "arguments": {"place": "Graz", "days":', False),
        ('{"tool": "calculate", "arguments": {"expression": "6 *', False),
        # A string or a number may follow.
        ('{"tool": "either", "arguments": {"value":', False),
    ],
)
def test_a_blank_alone_is_refused_where_it_is_half_a_token(
    embedded: LoadedModel, begun: str, splits: bool
) -> None:
    tools = (CALCULATE, WEATHER, tool("either", value={"type": ["string", "integer"]}))
    grammars = embedded.grammars
    matcher = grammars.matcher(call_grammar(grammars, COMPACT.forms[0], tools))
    assert matcher.take_text(begun)
    (blank,) = embedded.found.tokenizer.encode(" ")
    (quoted,) = embedded.found.tokenizer.encode(' "')
    allowed = matcher.allowed(embedded.found.config.vocab_size)
    assert allowed[blank]
    assert matcher.splits(blank) is splits
    assert not (allowed[quoted] and matcher.splits(quoted))


@pytest.mark.parametrize(
    ("question", "expression"),
    [
        ("What is 45 + 67 + 89?", "45 + 67 + 89"),
        ("Add 1999 and 2026.", "1999 + 2026"),
        ("What is 99 * 99?", "99 * 99"),
        ("Divide 1000 by 8.", "1000 / 8"),
    ],
)
def test_the_numbers_of_the_question_are_those_of_the_call(
    embedded: LoadedModel, question: str, expression: str
) -> None:
    request = Generate(
        messages=(ChatMessage("user", question),), sampling=GREEDY, tools=(CALCULATE,)
    )
    events = list(answer(embedded, request, Control(GREEDY)))
    (call,) = (event for event in events if isinstance(event, ToolCallReady))
    assert json.loads(call.arguments) == {"expression": expression}
