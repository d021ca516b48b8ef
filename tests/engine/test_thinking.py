"""Thinking: how much of it there is, how it is cut short, and what of it the next prompt has."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from chatbot.engine.answer import answer
from chatbot.engine.dialects.dialect import Dialect, Text
from chatbot.engine.dialects.gemma import GEMMA4
from chatbot.engine.dialects.harmony import HARMONY
from chatbot.engine.dialects.parser import AnswerParser
from chatbot.engine.dialects.recognition import recognise
from chatbot.engine.finding import find_model
from chatbot.engine.inbox import Control
from chatbot.engine.loading import LoadedModel, load
from chatbot.engine.prompt import PromptBuilder
from chatbot.engine.protocol.answer import (
    AnswerEvent,
    Delta,
    Generate,
    Generated,
    ThinkingCut,
    ThinkingDelta,
    TokensRecorded,
)
from chatbot.engine.protocol.messages import ChatMessage
from chatbot.engine.protocol.variants import (
    GenerateVariants,
    VariantDelta,
    VariantEvent,
    VariantThinkingCut,
    VariantTokens,
)
from chatbot.engine.token_loop import write_tokens
from chatbot.engine.variants.answers import answer_variants
from chatbot.settings import Sampling
from chatbot.tokens import TokenRecord
from tests.engine.tiny_models import make_llama, make_tokenizer

QWEN3 = (
    "{% set ns = namespace(last=0) %}{% for m in messages %}{% if m.role == 'user' %}"
    "{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
    "{% if m.role == 'assistant' and m.reasoning_content and loop.index0 > ns.last %}"
    "{{ '<think>\n' + m.reasoning_content.strip('\n') + '\n</think>\n\n' }}{% endif %}"
    "{{ m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n' }}{% endif %}"
)
"""Earlier thoughts are left out; those of the running turn are not. It opens the thinking."""

QUESTION = ChatMessage("user", "What is the capital of France?")
GREEDY = Sampling(temperature=0, max_tokens=40)


def thinking_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = make_tokenizer(QWEN3)
    tokenizer.add_tokens(["<think>", "</think>"])
    return tokenizer


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A tiny model that thinks, and never ends by itself: its end tokens cannot come."""
    folder = tmp_path_factory.mktemp("thinker")
    tokenizer = thinking_tokenizer()
    model: LlamaForCausalLM = make_llama(vocab_size=len(tokenizer), tie_word_embeddings=False)
    with torch.no_grad():
        ends = [0, 1, 2, *tokenizer.convert_tokens_to_ids(["<think>", "</think>"])]
        model.lm_head.weight[ends] = 0.0  # never the highest of 400 random ones
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return load_on_cpu(folder)


def load_on_cpu(folder: Path) -> LoadedModel:
    found = find_model(str(folder), lambda *_: None)  # type: ignore[arg-type]
    return load(found, "fp32", torch.device("cpu"), lambda *_: None)


def run_and_cut(loaded: LoadedModel, after: int, **options: object) -> list[AnswerEvent]:
    """An answer whose thinking is cut after so many pieces of it; with 0, before the first."""
    request = Generate(
        messages=(QUESTION,),
        sampling=GREEDY,
        num_alternatives=3,
        **options,  # type: ignore[arg-type]
    )
    control = Control(GREEDY)
    control.wants_answer = after == 0
    events: list[AnswerEvent] = []
    for event in answer(loaded, request, control):
        events.append(event)
        if sum(isinstance(e, ThinkingDelta) for e in events) >= after:
            control.wants_answer = True
    return events


def records_of(events: Sequence[AnswerEvent]) -> list[TokenRecord]:
    return [r for event in events if isinstance(event, TokensRecorded) for r in event.tokens]


def kinds(events: Sequence[AnswerEvent]) -> list[type[AnswerEvent]]:
    """What comes, each run of one kind once."""
    seen: list[type[AnswerEvent]] = []
    for event in events:
        if not isinstance(event, TokensRecorded) and seen[-1:] != [type(event)]:
            seen.append(type(event))
    return seen


def test_the_size_of_a_thought_is_counted(loaded: LoadedModel) -> None:
    request = Generate(messages=(QUESTION,), sampling=GREEDY)
    events = list(answer(loaded, request, Control(GREEDY)))
    thoughts = [event for event in events if isinstance(event, ThinkingDelta)]
    assert kinds(events) == [ThinkingDelta, Generated]
    # The prompt has opened it, so that each of the tokens is thought.
    assert thoughts[-1].num_thinking_tokens == thoughts[-1].num_tokens <= 40
    seconds = [thought.thinking_seconds for thought in thoughts]
    assert seconds == sorted(seconds)
    assert seconds[-1] > 0


@pytest.mark.parametrize(
    ("after", "order"),
    [
        (0, [ThinkingCut, Delta, Generated]),
        # The line break before the mark belongs to the thought.
        (5, [ThinkingDelta, ThinkingCut, ThinkingDelta, Delta, Generated]),
    ],
)
def test_cut_short_it_goes_on_as_if_the_model_had_ended_the_thought(
    loaded: LoadedModel, after: int, order: list[type[AnswerEvent]]
) -> None:
    events = run_and_cut(loaded, after)
    assert kinds(events) == order
    records = records_of(events)
    tokenizer = loaded.found.tokenizer
    mark = tokenizer.convert_tokens_to_ids("</think>")
    place = [record.token for record in records].index(mark)
    put = [record for record in records if record.is_users]
    closing = tokenizer.decode([record.token for record in put])
    assert closing == ("\n" if after else "") + "</think>\n\n"
    assert records[place] in put
    assert {record.region for record in records[:place]} <= {"thinking"}
    assert {record.region for record in records[place + 1 :]} == {"text"}

    # Afresh, from the same prefix.
    prompt = loaded.prompts.build((QUESTION,)).tokens
    begun = [record.token for record in records[: place + len(put) - put.index(records[place])]]
    loaded.cached.clear()
    sampling = Sampling(temperature=0, max_tokens=40 - len(begun))
    afresh = write_tokens(
        loaded.cached,
        [*prompt, *begun],
        Control(sampling),
        sampling=sampling,
        context_length=loaded.info.context_length,
        end_tokens=loaded.end_tokens,
    )
    assert [record.token for record in records[len(begun) :]] == list(afresh)


def test_nothing_is_read_again_for_it(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded.cached.clear()
    num_read = 0
    read = loaded.cached.read

    def counted(tokens: Sequence[int], *rest: object) -> torch.Tensor:
        nonlocal num_read
        num_read += len(tokens)
        return read(tokens, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(loaded.cached, "read", counted)
    monkeypatch.setattr(type(loaded.cached), "can_go_back", False)  # no guesses ahead
    events = run_and_cut(loaded, 5)
    last = events[-1]
    assert isinstance(last, Generated)
    statistics = last.statistics
    # Each token once; the last one is not read any more.
    assert num_read == statistics.num_prompt_tokens + statistics.num_new_tokens - 1


def test_an_answer_that_is_not_thought_goes_on_as_it_would(loaded: LoadedModel) -> None:
    events = run_and_cut(loaded, 0, is_completion=True)
    assert kinds(events) == [Delta, Generated]
    assert not any(record.is_users for record in records_of(events))


@pytest.mark.parametrize(
    ("dialect", "opening", "closing"),
    [
        (recognise("{{ '</think>' }}"), "<think>\nHm", "\n</think>\n\n"),
        (recognise("", ("[THINK]", "[/THINK]")), "[THINK]Hm", "[/THINK]"),
        (GEMMA4, "<|channel>thought\nHm", "<channel|>"),
        (
            HARMONY,
            "<|channel|>analysis<|message|>Hm",
            "<|end|><|start|>assistant<|channel|>final<|message|>",
        ),
    ],
)
def test_each_family_ends_a_thought_in_its_own_way(
    dialect: Dialect, opening: str, closing: str
) -> None:
    parser = AnswerParser(dialect)
    parser.push(opening)
    assert parser.region == "thinking"
    assert dialect.closing == closing
    parser.push(closing)
    assert parser.region == "text"
    assert parser.push("Yes.") == [Text("Yes.")]


@pytest.mark.parametrize("after", [0, 4])
def test_several_are_cut_short_at_once(loaded: LoadedModel, after: int) -> None:
    """Each goes on as if the model had ended its thought there."""
    samplings = tuple(
        Sampling(temperature=1, top_k=0, top_p=1, seed=seed, max_tokens=24) for seed in (1, 2, 3)
    )
    request = GenerateVariants(messages=(QUESTION,), samplings=samplings, num_alternatives=2)
    control = Control(GREEDY)
    control.wants_answer = after == 0
    events: list[VariantEvent] = []
    for event in answer_variants(loaded, request, control):
        events.append(event)
        if isinstance(event, VariantDelta) and event.num_tokens >= after:
            control.wants_answer = True
    tokenizer = loaded.found.tokenizer
    mark = tokenizer.convert_tokens_to_ids("</think>")
    for index in range(3):
        own = [e for e in events if getattr(e, "variant", None) == index]
        cut = [n for n, event in enumerate(own) if isinstance(event, VariantThinkingCut)]
        assert len(cut) == 1
        deltas = [event for event in own if isinstance(event, VariantDelta)]
        thoughts = [delta for delta in deltas if delta.is_thinking]
        assert not deltas[-1].is_thinking
        assert {delta.num_thinking_tokens for delta in deltas if not delta.is_thinking} == {0}
        if after:
            # All tokens up to there, since the prompt opened the thought.
            assert thoughts[-1].num_thinking_tokens == thoughts[-1].num_tokens >= after
            assert thoughts[-1].thinking_seconds > 0
        else:
            assert not thoughts
        tokens = [e for e in own if isinstance(e, VariantTokens)]
        records = [record for event in tokens for record in event.tokens]
        put = [record for record in records if record.is_users]
        assert [r.token for r in put].count(mark) == 1
        place = [record.token for record in records].index(mark)
        assert {record.region for record in records[place + 1 :]} == {"text"}
    assert len({text_of(events, n) for n in range(3)}) == 3


def text_of(events: Sequence[VariantEvent], index: int) -> str:
    deltas = [e for e in events if isinstance(e, VariantDelta) and e.variant == index]
    return "".join(delta.text for delta in deltas if not delta.is_thinking)


THOUGHT = ChatMessage("assistant", "Paris.", thinking="The capital of France is what they ask.")


def test_earlier_thoughts_are_left_out_as_the_family_wants_it() -> None:
    builder = PromptBuilder(thinking_tokenizer())
    messages = (QUESTION, THOUGHT, QUESTION)
    assert "they ask" not in builder.build(messages).text
    size = len(thinking_tokenizer().encode(THOUGHT.thinking))
    assert builder.count_thinking(messages) == (size, 0)
    assert builder.count_thinking((QUESTION,)) == (0, 0)


def test_thoughts_of_the_running_turn_stay_and_are_counted() -> None:
    builder = PromptBuilder(thinking_tokenizer())
    messages = (QUESTION, THOUGHT)
    total, shown = builder.count_thinking(messages)
    assert "they ask" in builder.build(messages).text
    # Besides the thought: a mark before and after it, and the blank space around it.
    assert total < shown <= total + 6
