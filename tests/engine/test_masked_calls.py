"""The mask in the token loop: models with random weights cannot make a wrong call."""

import copy
import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jsonschema
import msgspec
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from chatbot.engine.answer import answer
from chatbot.engine.finding import find_model
from chatbot.engine.inbox import Control
from chatbot.engine.kv_cache import CachedModel
from chatbot.engine.loading import LoadedModel, load
from chatbot.engine.prompt import PromptBuilder
from chatbot.engine.protocol.answer import (
    AnswerEvent,
    Delta,
    Generate,
    Generated,
    ThinkingDelta,
    ToolCallBroken,
    ToolCallReady,
)
from chatbot.engine.protocol.messages import ChatMessage, ToolSchema
from chatbot.errors import ModelError
from chatbot.settings import Sampling
from tests.engine.tiny_models import CHATML, make_llama, make_tokenizer
from tests.engine.tool_schemas import NOW, TOOLS, WEATHER, tool

CPU = torch.device("cpu")
QUESTION = (ChatMessage("user", "What is it?"),)
HOT = Sampling(temperature=1.0, top_k=0, top_p=1, max_tokens=600)
HERMES = CHATML + "{# tools <tool_call> #}"
TEMPLATES = {
    "hermes": (HERMES, "<tool_call>", ()),
    "qwen-coder": (HERMES + "{# <function= #}", "<tool_call>", ()),
    "llama3": (CHATML + "{# tools <|python_tag|> #}", '{"name":', ("<|python_tag|>",)),
    "llama3, tag": (CHATML + "{# tools <|python_tag|> #}", "<|python_tag|>", ("<|python_tag|>",)),
    "mistral, list": (CHATML + "{# tools [TOOL_CALLS] #}", "[TOOL_CALLS]", ("[TOOL_CALLS]",)),
    "mistral, names": (
        CHATML + "{# tools [TOOL_CALLS] [ARGS] #}",
        "[TOOL_CALLS]",
        ("[TOOL_CALLS]", "[ARGS]"),
    ),
    "gemma": (
        CHATML + "{# tools <start_function_call> #}",
        "<start_function_call>",
        ("<start_function_call>", "<end_function_call>", "<escape>"),
    ),
    "harmony": (
        CHATML + "{# tools functions. <|channel|> #}",
        "<|channel|>commentary to=functions.",
        ("<|channel|>", "<|message|>", "<|constrain|>", "<|call|>", "<|end|>", "<|start|>"),
    ),
    "compact": (CHATML, '{"tool":', ()),
}


class BegunModel(CachedModel):
    """A model that is made to begin its answer with certain tokens."""

    begin: Sequence[int] = ()

    def read(self, tokens: Sequence[int], *arguments: Any) -> Tensor:
        logits = super().read(tokens, *arguments).clone()
        self._begin(logits, self.num_tokens)
        return logits

    def read_each(self, tokens: Sequence[int], *arguments: Any) -> Tensor:
        start = self.num_tokens
        rows = super().read_each(tokens, *arguments).clone()
        for index, logits in enumerate(rows):
            self._begin(logits, start + index + 1)
        return rows

    def _begin(self, logits: Tensor, num_tokens: int) -> None:
        at = num_tokens - self.num_prompt
        if 0 <= at < len(self.begin):
            logits[self.begin[at]] = 1e6

    def rewind(self, prompt: Sequence[int], *, reproducible: bool) -> int:
        self.num_prompt = len(prompt)
        return super().rewind(prompt, reproducible=reproducible)


def make_loaded(
    tiny_folder: Any, template: str, special: Sequence[str] = (), plain: Sequence[str] = ()
) -> LoadedModel:
    tokenizer = make_tokenizer(template)
    tokenizer.add_special_tokens({"additional_special_tokens": list(special)})
    tokenizer.add_tokens(list(plain))
    loaded = load(find_model(str(tiny_folder), lambda *_: None), "fp32", CPU, lambda *_: None)
    model = make_llama(vocab_size=len(tokenizer) + 9, initializer_range=0.2)
    found = copy.copy(loaded.found)
    config = copy.deepcopy(found.config)
    config.vocab_size = len(tokenizer) + 9
    found = msgspec.structs.replace(found, tokenizer=tokenizer, config=config)
    ids = dict(tokenizer.added_tokens_encoder)
    return msgspec.structs.replace(
        loaded,
        found=found,
        cached=BegunModel(model),
        prompts=PromptBuilder(tokenizer),
        special_tokens=frozenset({0, 1, 2, *(ids[text] for text in special)}),
        made_grammars=[],
    )


@pytest.fixture(scope="module", params=list(TEMPLATES))
def begun(request: pytest.FixtureRequest, tiny_folder: Any) -> LoadedModel:
    template, trigger, special = TEMPLATES[request.param]
    loaded = make_loaded(tiny_folder, template, special)
    loaded.cached.begin = tokens_of(loaded, trigger)  # type: ignore[attr-defined]
    return loaded


@pytest.fixture(scope="module")
def hermes(tiny_folder: Any) -> LoadedModel:
    loaded = make_loaded(tiny_folder, HERMES, plain=["ll>ab"])
    loaded.cached.begin = tokens_of(loaded, "<tool_call>")  # type: ignore[attr-defined]
    return loaded


def tokens_of(loaded: LoadedModel, text: str) -> list[int]:
    ids: list[int] = loaded.found.tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def run(
    loaded: LoadedModel,
    sampling: Sampling = HOT,
    tools: Sequence[ToolSchema] = TOOLS,
    control: Control | None = None,
    **fields: Any,
) -> Iterator[AnswerEvent]:
    request = Generate(messages=QUESTION, sampling=sampling, tools=tuple(tools), **fields)
    return answer(loaded, request, control or Control(sampling))


def ready_calls(events: Sequence[AnswerEvent]) -> list[ToolCallReady]:
    return [event for event in events if isinstance(event, ToolCallReady)]


def check(events: Sequence[AnswerEvent], tools: Sequence[ToolSchema]) -> int:
    """Hold every call to its schema; returns how many there are."""
    schemas = {tool.name: json.loads(tool.parameters) for tool in tools}
    calls = ready_calls(events)
    for call in calls:
        jsonschema.validate(json.loads(call.arguments), schemas[call.name])
    for event in events:
        if isinstance(event, ToolCallBroken):
            assert "cut off" in event.reason, event
    return len(calls)


def test_random_weights_call_by_the_schema_in_every_dialect(begun: LoadedModel) -> None:
    bounded = tool(
        "weather",
        place={"type": "string", "enum": ["Ome, {x}", "Rome"]},
        days={"type": "integer", "enum": [1, 2]},
        now={"type": "boolean"},
    )
    tools = (bounded, NOW)
    num_calls = 0
    for seed in range(4):
        events = list(run(begun, msgspec.structs.replace(HOT, seed=seed), tools))
        num_calls += check(events, tools)
        assert isinstance(events[-1], Generated)
        assert events[-1].finish_reason in ("tool_calls", "length")
    assert num_calls >= 4


def test_penalties_do_not_make_a_call_impossible(begun: LoadedModel) -> None:
    harsh = Sampling(temperature=0, max_tokens=600, repetition_penalty=1.8)
    same = tool("aaaaaaaa", aaaaaaaa={"type": "string", "enum": ["aaaaaaaa"]})
    assert check(list(run(begun, harsh, (same,))), (same,)) >= 1


def test_no_repeated_ngrams_hold_only_outside_of_calls(hermes: LoadedModel) -> None:
    sampling = Sampling(temperature=0, max_tokens=600, no_repeat_ngram_size=3)
    same = tool("abcabcabcabc", abcabc={"type": "string", "enum": ["abcabcabc"]})
    assert check(list(run(hermes, sampling, (same,))), (same,)) >= 1


SCALARS = st.sampled_from(
    [
        {"type": "string", "maxLength": 6},
        {"type": "string", "enum": ["a", 'b"\\', "é"]},
        {"type": "integer", "minimum": -5, "maximum": 300},
        {"type": "boolean"},
        {"type": "null"},
        {"type": "number", "minimum": 0, "maximum": 2},
        {"anyOf": [{"type": "boolean"}, {"type": "integer", "minimum": 0, "maximum": 9}]},
        {"type": "string", "pattern": "^[a-c]{1,3}$"},
    ]
)
NAMES = st.sampled_from(["a", "name", "two words", "tool", "arguments", "ö"])


def objects(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(NAMES, values, max_size=3).flatmap(
        lambda properties: st.sets(st.sampled_from(sorted(properties) or ["-"])).map(
            lambda required: {
                "type": "object",
                "properties": properties,
                "required": sorted(required & set(properties)),
                "additionalProperties": False,
            }
        )
    )


SCHEMAS = objects(
    st.recursive(
        SCALARS,
        lambda inner: (
            objects(inner) | inner.map(lambda i: {"type": "array", "items": i, "maxItems": 2})
        ),
        max_leaves=4,
    )
)


@settings(max_examples=15)
@given(schema=SCHEMAS, seed=st.integers(0, 1000))
def test_every_schema_is_kept(hermes: LoadedModel, schema: dict[str, Any], seed: int) -> None:
    one = ToolSchema(name="one", description="", parameters=json.dumps(schema))
    events = list(run(hermes, msgspec.structs.replace(HOT, seed=seed), (one, NOW)))
    assert check(events, (one, NOW)) or events[-1].finish_reason == "length"  # type: ignore[union-attr]


def test_a_token_that_ends_the_trigger_and_begins_a_wrong_call_is_drawn_anew(
    hermes: LoadedModel,
) -> None:
    begin = hermes.cached.begin  # type: ignore[attr-defined]
    straddling = tokens_of(hermes, "<tool_ca")
    hermes.cached.begin = [*straddling, hermes.found.tokenizer.added_tokens_encoder["ll>ab"]]  # type: ignore[attr-defined]
    try:
        free = list(run(hermes, msgspec.structs.replace(HOT, seed=2), mask_calls=False))
        masked = list(run(hermes, msgspec.structs.replace(HOT, seed=2)))
    finally:
        hermes.cached.begin = begin  # type: ignore[attr-defined]
    assert any(isinstance(event, ToolCallBroken) for event in free)
    assert not any(isinstance(event, ToolCallBroken) for event in masked)


def test_without_the_mask_random_weights_write_no_call(hermes: LoadedModel) -> None:
    events = list(run(hermes, msgspec.structs.replace(HOT, seed=2), mask_calls=False))
    assert not ready_calls(events)
    (broken,) = (event for event in events if isinstance(event, ToolCallBroken))
    assert broken.raw.startswith("<tool_call>")


def test_a_call_that_has_begun_is_finished_beyond_the_longest_length(hermes: LoadedModel) -> None:
    short = msgspec.structs.replace(HOT, max_tokens=14, seed=2)
    events = list(run(hermes, short))
    assert check(events, TOOLS) == 1
    last = events[-1]
    assert isinstance(last, Generated)
    assert last.statistics.num_new_tokens > short.max_tokens
    assert last.finish_reason == "tool_calls"


def test_a_call_that_does_not_end_is_cut(
    hermes: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatbot.engine.token_loop.MAX_OVERTIME", 5)
    begins = len(tokens_of(hermes, "<tool_call>"))
    *_, broken, last = run(hermes, Sampling(temperature=0, max_tokens=begins))
    assert isinstance(broken, ToolCallBroken)
    assert "longest length" in broken.reason
    assert isinstance(last, Generated)
    assert last.finish_reason == "length"
    assert last.statistics.num_new_tokens == begins + 5


def test_a_call_does_not_go_beyond_the_window(hermes: LoadedModel) -> None:
    begins = len(tokens_of(hermes, "<tool_call>"))
    size = len(hermes.prompts.build(QUESTION, tools=TOOLS).tokens)
    *_, broken, last = run(
        hermes, Sampling(temperature=0, max_tokens=14), context_length=size + begins + 4
    )
    assert isinstance(broken, ToolCallBroken)
    assert isinstance(last, Generated)
    assert last.statistics.num_new_tokens == begins + 4


def test_a_call_can_be_cancelled(hermes: LoadedModel) -> None:
    control = Control(HOT)
    events = []
    for event in run(hermes, control=control):
        events.append(event)
        control.is_cancelled = True
    assert events[-1].finish_reason == "cancelled"  # type: ignore[union-attr]


def test_a_schema_that_cannot_be_kept_names_its_tool(hermes: LoadedModel) -> None:
    odd = tool("odd", value={"not": {"type": "string"}})
    with pytest.raises(ModelError, match=r"tool odd .*not"):
        next(run(hermes, tools=(WEATHER, odd)))
    with pytest.raises(ModelError, match="tool bad are not valid JSON"):
        next(run(hermes, tools=(ToolSchema(name="bad", description="", parameters="{"),)))
    with pytest.raises(ModelError, match="leave one of the two out"):
        next(run(hermes, schema="{}"))


@pytest.mark.parametrize("seed", range(5))
def test_a_whole_answer_by_a_schema(hermes: LoadedModel, seed: int) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 5}, "old": {"type": "boolean"}},
        "required": ["name", "old"],
        "additionalProperties": False,
    }
    hermes.cached.begin, begin = (), hermes.cached.begin  # type: ignore[attr-defined]
    try:
        sampling = msgspec.structs.replace(HOT, seed=seed)
        events = list(run(hermes, sampling, (), schema=json.dumps(schema)))
    finally:
        hermes.cached.begin = begin  # type: ignore[attr-defined]
    text = "".join(event.text for event in events if isinstance(event, Delta))
    jsonschema.validate(json.loads(text), schema)
    assert events[-1].finish_reason == "stop"  # type: ignore[union-attr]


def test_a_schema_holds_after_thinking(tiny_folder: Any) -> None:
    template = CHATML.replace("assistant\n' }}", "assistant\n<think>\n' }}") + "{# </think> #}"
    loaded = make_loaded(tiny_folder, template)
    loaded.cached.begin = tokens_of(loaded, "Hm {</think>")  # type: ignore[attr-defined]
    schema = {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 2}
    events = list(run(loaded, tools=(), schema=json.dumps(schema)))
    thought = "".join(event.text for event in events if isinstance(event, ThinkingDelta))
    text = "".join(event.text for event in events if isinstance(event, Delta))
    assert thought == "Hm {"
    jsonschema.validate(json.loads(text), schema)


@pytest.mark.parametrize("schema", ["", "{", "[]", '{"type": "string", "not": {}}'])
def test_a_schema_that_is_none(hermes: LoadedModel, schema: str) -> None:
    if not schema:
        assert list(run(hermes, Sampling(max_tokens=2), (), schema=schema))
        return
    with pytest.raises(ModelError):
        next(run(hermes, tools=(), schema=schema))


def test_the_mask_costs_little(hermes: LoadedModel) -> None:
    from chatbot.engine.answer_reader import call_grammar
    from chatbot.engine.dialects.hermes import TAGGED

    def seconds(function: Callable[[], object]) -> float:
        start = time.perf_counter()
        for _ in range(50):
            function()
        return (time.perf_counter() - start) / 50

    grammars = hermes.grammars
    matcher = grammars.matcher(call_grammar(grammars, TAGGED, TOOLS))
    step = seconds(lambda: hermes.cached.read([5]))
    hermes.cached.clear()
    # Far below one step of even this model of two layers; a bound that a busy machine keeps.
    assert seconds(lambda: matcher.allowed(400)) < 2 * step
