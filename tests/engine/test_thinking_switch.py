"""Thinking switched on and off: which templates know it, and what becomes of their prompts.

The templates do what those of the families do, in as few words.
"""

from pathlib import Path

import pytest
import torch

from chatbot.engine.answer import answer
from chatbot.engine.finding import find_model
from chatbot.engine.inbox import Control
from chatbot.engine.loading import load
from chatbot.engine.prompt import PromptBuilder
from chatbot.engine.protocol.answer import Generate, Generated, ThinkingDelta
from chatbot.engine.protocol.messages import ChatMessage, ToolSchema
from chatbot.engine.protocol.model_info import ThinkingSwitch
from chatbot.settings import Sampling
from tests.engine.tiny_models import CHATML, make_llama, make_tokenizer

_OPEN = "<|im_start|>assistant\n"

QWEN3 = (
    CHATML.removesuffix("{% endif %}")
    + "{% if enable_thinking is defined and enable_thinking is false %}"
    "{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}"
)
"""An empty thought opens the answer; later prompts have the answer without it."""

SMOLLM3 = (
    "{% if enable_thinking is not defined %}{% set enable_thinking = true %}{% endif %}"
    "{% set mode = '/think' if enable_thinking else '/no_think' %}"
    "{{ '<|im_start|>system\nReasoning Mode: ' + mode + '\n' }}"
    "{% if messages[0].role == 'system' %}{{ messages[0].content }}{% endif %}{{ '<|im_end|>\n' }}"
    "{% for m in messages if m.role != 'system' %}{{ '<|im_start|>' + m.role + '\n' }}"
    "{% if m.role == 'assistant' and not enable_thinking %}{{ '<think>\n\n</think>\n' }}{% endif %}"
    "{{ m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if not enable_thinking %}{{ '<think>\n\n</think>\n' }}{% endif %}{% endif %}"
)
"""It says so ahead of everything, and in each answer."""

DEEPSEEK = (
    "{% if not thinking is defined %}{% set thinking = false %}{% endif %}"
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
    "{% if m.role == 'assistant' %}{{ '</think>' }}{% endif %}"
    "{{ m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if thinking %}{{ '<think>' }}{% else %}{{ '</think>' }}{% endif %}{% endif %}"
)
"""Another name, off by itself, and the thought is opened in the prompt."""

GRANITE = (
    "{% if messages[0].role != 'system' %}{{ '<|im_start|>system\nHelp.' }}"
    "{% if thinking %}{{ ' Think between <think></think>.' }}{% endif %}{{ '<|im_end|>\n' }}"
    "{% endif %}" + CHATML
)
"""It heeds it only while nobody else says what the system prompt is."""

SHOWS_THOUGHTS = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
    "{% if m.thinking %}{{ '<think>' + m.thinking + '</think>' }}{% endif %}"
    "{{ m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""It has the word, but no switch."""

SYSTEM = ChatMessage("system", "Be brief.")
FIRST = ChatMessage("user", "What is the capital of France?")
SECOND = ChatMessage("user", "And what is it like?")
CHAT = (SYSTEM, FIRST, ChatMessage("assistant", "Paris."), SECOND)


def builder(template: str | None) -> PromptBuilder:
    tokenizer = make_tokenizer(template)
    tokenizer.add_tokens(["<think>", "</think>"])
    return PromptBuilder(tokenizer)


@pytest.mark.parametrize(
    ("template", "switch"),
    [
        (QWEN3, "always"),
        (SMOLLM3, "always"),
        (DEEPSEEK, "always"),
        (GRANITE, "without_system"),
        (SHOWS_THOUGHTS, "none"),
        (CHATML, "none"),
        ("{{ raise_exception(enable_thinking) }}", "none"),
        (None, "none"),
    ],
)
def test_a_template_has_a_switch_where_it_changes_the_prompt(
    template: str | None, switch: ThinkingSwitch
) -> None:
    prompts = builder(template)
    assert prompts.thinking_switch == switch
    if switch == "none":
        assert prompts.told(True) is prompts.told(False) is prompts


@pytest.mark.parametrize(
    ("template", "by_itself", "on", "off"),
    [
        (QWEN3, _OPEN, _OPEN, f"{_OPEN}<think>\n\n</think>\n\n"),
        (SMOLLM3, _OPEN, _OPEN, f"{_OPEN}<think>\n\n</think>\n"),
        (DEEPSEEK, f"{_OPEN}</think>", f"{_OPEN}<think>", f"{_OPEN}</think>"),
    ],
)
def test_the_prompt_opens_the_answer_as_the_family_does(
    template: str, by_itself: str, on: str, off: str
) -> None:
    prompts = builder(template)
    for thinking, opening in ((None, by_itself), (True, on), (False, off), (None, by_itself)):
        built = prompts.told(thinking).build(CHAT)
        assert built.text.endswith(f"like?<|im_end|>\n{opening}")
        assert built.opens_thinking == opening.endswith("<think>")
    begun = [*CHAT, ChatMessage("assistant", "It is")]
    text = prompts.told(False).build(begun, continue_last=True).text
    assert text.endswith(f"{off}It is")


TOOL = ToolSchema(name="look", description="Looks.")


@pytest.mark.parametrize(
    "template", [QWEN3, SMOLLM3, DEEPSEEK, GRANITE], ids=["qwen3", "smollm3", "deepseek", "granite"]
)
@pytest.mark.parametrize("messages", [CHAT, CHAT[1:], CHAT[:2]])
def test_what_is_counted_is_the_prompt(template: str, messages: tuple[ChatMessage, ...]) -> None:
    prompts = builder(template)
    totals = []
    for thinking in (None, True, False, True):  # back and forth: nothing is remembered wrongly
        told = prompts.told(thinking)
        sizes, rest = told.count(messages)
        assert sum(sizes) + rest == len(told.build(messages).tokens)
        assert told.count(messages, tools=(TOOL,))[1] == rest
        totals.append((sizes, rest))
    assert totals[1] == totals[3]
    if template in (QWEN3, SMOLLM3):  # the marks of others are as long either way
        assert totals[1] != totals[2]


@pytest.mark.parametrize(
    ("template", "is_whole"), [(QWEN3, False), (SMOLLM3, True), (DEEPSEEK, True)]
)
def test_the_next_prompt_begins_with_the_last_one(template: str, is_whole: bool) -> None:
    """Switched off, and not switched again: nothing but what the family itself leaves out."""
    told = builder(template).told(False)
    before = told.build(CHAT[:2]).tokens
    after = told.build(CHAT).tokens
    same = next((n for n, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), -1)
    assert (same == -1) is is_whole
    if not is_whole:  # the empty thought: all before it is there still
        opening = len(builder(CHATML).build(CHAT[:2]).tokens)
        assert same >= opening


def test_the_model_is_asked_with_what_was_told(tmp_path: Path) -> None:
    tokenizer = make_tokenizer(DEEPSEEK)
    tokenizer.add_tokens(["<think>", "</think>"])
    model = make_llama(vocab_size=len(tokenizer))
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    found = find_model(str(tmp_path), lambda *_: None)
    loaded = load(found, "fp32", torch.device("cpu"), lambda *_: None)
    assert loaded.info.thinks
    assert loaded.info.thinking_switch == "always"
    sampling = Sampling(temperature=0, max_tokens=4)
    for thinking in (True, False):
        request = Generate(messages=CHAT, sampling=sampling, thinking=thinking)
        events = list(answer(loaded, request, Control(sampling)))
        assert any(isinstance(event, ThinkingDelta) for event in events) is thinking
        last = events[-1]
        assert isinstance(last, Generated)
        size = len(loaded.prompts.told(thinking).build(CHAT).tokens)
        assert last.statistics.num_prompt_tokens == size
    # All but how the answer is opened was in the cache.
    assert last.statistics.num_cached_tokens == size - 1
