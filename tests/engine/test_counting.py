"""Counting is fast and takes little memory, and gives what the plain way gives."""

from bisect import bisect_left
from collections.abc import Sequence
from random import Random

import pytest
from tokenizers import AddedToken, decoders, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from chatbot.engine.chat_template import ChatTemplate
from chatbot.engine.common_start import common_length
from chatbot.engine.prefix_windows import FEWEST, NUM_CHECKS
from chatbot.engine.prompt import PromptBuilder
from chatbot.engine.prompt_prefixes import PromptPrefixes
from chatbot.engine.protocol.messages import ChatMessage, ToolCall, ToolSchema
from chatbot.errors import ModelError
from tests.engine import families
from tests.engine.test_thinking_switch import DEEPSEEK, GRANITE, SHOWS_THOUGHTS, SMOLLM3
from tests.engine.tiny_models import CHATML, make_tokenizer

_EACH = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content }}"
_END = "{{ '<|im_end|>\n' }}{% endfor %}"
_ASK = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"

ONE_PASS = {
    "chatml": CHATML,
    "llama 2": families.LLAMA2,
    "llama 3": families.LLAMA3,
    "mistral": families.MISTRAL,
    "gemma": families.GEMMA,
    "phi 3": families.PHI3,
    "qwen 3": families.QWEN3,
    "deepseek": DEEPSEEK,
    "granite": GRANITE,
    "shows thoughts": SHOWS_THOUGHTS,
    "default system": (
        "{% for m in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
        "{{ '<|im_start|>system\nHelp.' + '<|im_end|>\n' }}{% endif %}"
        "{{ '<|im_start|>' + m.role + '\n' + m.content }}" + _END + _ASK
    ),
    "results in one turn": (
        "{% for m in messages %}{% if m.role == 'tool' %}"
        "{% if loop.index0 == 0 or messages[loop.index0 - 1].role != 'tool' %}"
        "{{ '<|im_start|>user' }}{% endif %}{{ '\n<result>' + m.content + '</result>' }}"
        "{% if loop.last or messages[loop.index0 + 1].role != 'tool' %}"
        "{{ '<|im_end|>\n' }}{% endif %}{% else %}"
        "{{ '<|im_start|>' + m.role + '\n' + m.content }}"
        "{% for c in m.tool_calls %}{{ c.function.name }}{% if not loop.last %},{% endif %}"
        "{% endfor %}{{ '<|im_end|>\n' }}{% endif %}{% endfor %}" + _ASK
    ),
    "looks at the last": _EACH + "{% if loop.last %}!{% endif %}" + _END + _ASK,
    "looks at the one before": (
        _EACH + "{% if messages[loop.index0 - 1].role == 'user' %}<{% endif %}" + _END
    ),
    "takes the system message out": (
        "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}"
        "{% endif %}{% if messages[0].role == 'system' %}{% set system = messages[0].content %}"
        "{% set messages = messages[1:] %}{% else %}{% set system = '' %}{% endif %}"
        "{{ '<|im_start|>system\n' + system + '<|im_end|>\n' }}"
        "{% if messages | length != 0 and messages[0].role == 'user' %}first: {% endif %}"
        + _EACH
        + _END
        + _ASK
    ),
    "remembers": (
        "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}"
        "{% if m.content == '' %}{% continue %}{% endif %}{{ ns.n }}{{ m.content }}" + _END + _ASK
    ),
    "asks itself": ("{% set add_generation_prompt = true %}" + _EACH + _END + _ASK),
    "closes with some of what comes next": _EACH + "{% endfor %}{{ '<|im_end|>' }}",
}
"""Each prompt is a part of the next one, but for how it closes."""

OTHERS = {
    "smollm 3": SMOLLM3,
    "none": None,
    "tells how many there are": "{{ messages | length }}" + _EACH + _END + _ASK,
    "counts down": ("{% for m in messages %}{{ loop.revindex }}{{ m.content }}" + _END + _ASK),
    "thoughts since the last question": (
        "{% set ns = namespace(last=0) %}{% for m in messages %}{% if m.role == 'user' %}"
        "{% set ns.last = loop.index0 %}{% endif %}{% endfor %}{% for m in messages %}"
        "{{ '<|im_start|>' + m.role + '\n' }}"
        "{% if m.thinking and loop.index0 > ns.last %}<think>{{ m.thinking }}</think>{% endif %}"
        "{{ m.content }}" + _END + _ASK
    ),
    "thoughts of the last answer": (
        "{% for m in messages[::-1] %}{% endfor %}{% for m in messages %}"
        "{% if m.thinking and loop.last %}<think>{{ m.thinking }}</think>{% endif %}"
        "{{ m.content.split('</think>')[-1] }}" + _END + _ASK
    ),
    "refuses to end with an answer": (
        "{% if messages[-1].role == 'assistant' and not add_generation_prompt %}"
        "{{ raise_exception('no') }}{% endif %}" + _EACH + _END + _ASK
    ),
    "refuses a chat of one": (
        "{% if messages | length == 1 %}{{ raise_exception('no') }}{% endif %}" + _EACH + _END
    ),
    "stops early": _EACH + "{% if m.content == '' %}{% break %}{% endif %}" + _END + _ASK,
    "leaves some out": _EACH.replace("messages", "messages if m.role != 'system'") + _END + _ASK,
    "ends with what it saw": (
        "{% set ns = namespace(n='') %}" + _EACH + "{% set ns.n = m.role %}" + _END + "{{ ns.n }}"
    ),
    "ends with the last role": _EACH + _END + "{{ messages[-1].role }}",
    "reads its list ahead": (
        "{% set rest = messages[1:] %}{% if rest and rest[0].role == 'user' %}U{% endif %}"
        "{% for m in rest %}{{ m.content }}" + _END
    ),
    "by a filter": "{% for m in messages | list %}{{ m.content }}" + _END + _ASK,
    "in a macro": (
        "{% macro all() %}{{ messages | length }}{% endmacro %}" + _EACH + "{{ all() }}" + _END
    ),
    "twice": _EACH + _END + _EACH + _END,
    "the second one": "{{ messages[1].content }}" + _EACH + _END,
    "the loop as a whole": _EACH + "{{ loop | attr('length') }}" + _END,
}
"""Some prompts are no part of the next one, or nothing says that they are."""

TEMPLATES = {**ONE_PASS, **OTHERS}

BEGIN_ANEW = {
    "looks at the one before", "tells how many there are", "counts down", "reads its list ahead",
    "in a macro", "twice", "the loop as a whole",
}  # fmt: skip
"""Each prompt begins in another way, so that each of them is kept whole."""

_TEXTS = (
    "", "a", " b ", "<|im_end|>", "x<|im_start|>system\n", "<think>t</think>c", "Hi there, you",
    "é汉<|im",
)  # fmt: skip


def draw_chat(random: Random) -> list[ChatMessage]:
    """A short chat as they come, or one that few templates expect."""
    rest = [
        ChatMessage(
            random.choice(("user", "assistant", "user", "assistant", "tool")),
            random.choice(_TEXTS),
            tool_calls=random.choice(((), (), (ToolCall(id="1", name="look", arguments="{}"),))),
            thinking=random.choice(("", "", "Hm, well.")),
        )
        for _ in range(random.randint(0, 6))
    ]
    hello = ChatMessage("user", "Hi?")
    match random.randint(0, 3):
        case 0:
            return [hello, *rest]
        case 1:
            return [ChatMessage("system", "Be kind."), hello, *rest]
        case 2:
            return [ChatMessage("tool", "4"), *rest]
    return [
        ChatMessage("assistant" if index % 2 else "user", message.content)
        for index, message in enumerate([*rest, hello])
    ]


def make_builder(template: str | None) -> PromptBuilder:
    tokenizer = make_tokenizer(template)
    tokenizer.add_tokens(["<think>", "</think>"])
    return PromptBuilder(tokenizer)


BUILDERS = {name: make_builder(template) for name, template in TEMPLATES.items()}


def same_length(first: str, second: str) -> int:
    pairs = zip(first, second, strict=False)
    shorter = min(len(first), len(second))
    return next((index for index, (a, b) in enumerate(pairs) if a != b), shorter)


def rendered_plainly(template: ChatTemplate, messages: Sequence[ChatMessage]) -> list[str | None]:
    """Each shorter chat, rendered by itself."""
    return [template._try_render(messages[: end + 1], ()) for end in range(len(messages))]


def counted_plainly(
    builder: PromptBuilder,
    messages: Sequence[ChatMessage],
    *,
    continue_last: bool = False,
    tools: Sequence[ToolSchema] = (),
) -> tuple[tuple[int, ...], int]:
    """What ``count`` is to give, with nothing remembered and nothing spared."""
    shown, ends = builder._shown(messages, tools)
    text = builder._render(shown, tools, continue_last)
    starts = [-1] * len(builder._start) + builder._cut(text)[1]
    sizes: list[int] = []
    done = 0
    for last in ends[: -1 if continue_last else None]:
        prefix = builder._template._try_render(shown[:last], builder._given(tools))
        end = done
        if prefix is not None:
            end = max(done, bisect_left(starts, same_length(prefix, text)))
        sizes.append(end - done)
        done = end
    if continue_last:
        return (*sizes, len(starts) - done), 0
    return tuple(sizes), len(starts) - done


def check_prefixes(template: ChatTemplate, messages: Sequence[ChatMessage]) -> None:
    plain = rendered_plainly(template, messages)
    prefixes = template.render_prefixes(messages)
    for text in (*plain, "", "<|im_start|>user"):
        expected = [None if each is None else same_length(each, text or "") for each in plain]
        assert prefixes.lengths_in(text or "") == expected


TOOL = ToolSchema(name="look", description="Looks.")


@pytest.mark.parametrize("name", TEMPLATES)
def test_counts_are_those_of_the_plain_way(name: str) -> None:
    builder = BUILDERS[name]
    random = Random(5)
    for _ in range(4):
        chat, other = draw_chat(random), draw_chat(random)
        # Some of it is known from the second one on.
        for messages in (chat, chat[:2] + other, [*chat, ChatMessage("user", "draft")]):
            check_prefixes(builder._template, messages)
            is_begun = messages[-1].role == "assistant"
            for continues in (False, True)[: 1 + is_begun]:
                for tools in ((), (TOOL,)):
                    try:
                        expected = counted_plainly(
                            builder, messages, continue_last=continues, tools=tools
                        )
                    except ModelError:  # not a chat for this template
                        continue
                    found = builder.count(messages, continue_last=continues, tools=tools)
                    assert found == expected


def draw_long_chat(random: Random) -> list[ChatMessage]:
    """Questions and answers, in which tools may be called again and again."""
    has_calls = random.random() < 0.6
    chat = [ChatMessage("system", "Be kind.")] * random.randint(0, 1)
    while len(chat) < 2 * FEWEST:
        chat.append(ChatMessage("user", random.choice(_TEXTS[1:])))
        for _ in range(random.choice((0, 0, 1, 3)) if has_calls else 0):
            call = ToolCall(id="1", name="look", arguments="{}")
            thinking = random.choice(("", "Hm."))
            chat.append(ChatMessage("assistant", "x", tool_calls=(call,), thinking=thinking))
            chat.append(ChatMessage("tool", random.choice(_TEXTS)))
        if random.random() < 0.9 or not has_calls:
            answer = random.choice(_TEXTS)
            chat.append(ChatMessage("assistant", answer, thinking=random.choice(("", "Hm, well."))))
    return chat[: -random.randint(1, 2)]


@pytest.mark.parametrize("name", TEMPLATES)
def test_prompts_of_a_long_chat_are_those_of_the_plain_way(name: str) -> None:
    random = Random(3)
    for _ in range(2):
        chat = draw_long_chat(random)
        template = make_builder(TEMPLATES[name])._template
        plain = rendered_plainly(template, chat)
        text = plain[-1] or ""
        lengths = [None if each is None else common_length(each, text) for each in plain]
        assert template.render_prefixes(chat).lengths_in(text) == lengths


@pytest.mark.parametrize("name", ["llama 2", "llama 3", "mistral", "gemma", "phi 3", "qwen 3"])
def test_a_long_chat_is_rendered_in_pieces(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    template = make_builder(TEMPLATES[name])._template
    num_rendered: list[int] = []
    render = template._tokenizer.apply_chat_template

    def counted(messages: list[object], **options: object) -> object:
        num_rendered.append(len(messages))
        return render(messages, **options)

    monkeypatch.setattr(template._tokenizer, "apply_chat_template", counted)
    chat = CHAT * 4
    template.render_prefixes(chat)
    num_long = sum(size > 5 for size in num_rendered)
    assert num_long <= NUM_CHECKS + 4
    assert len(num_rendered) <= 2 * len(chat) + num_long


CHAT = [
    ChatMessage("user" if index % 2 == 0 else "assistant", f"{index} What is the capital? " * 4)
    for index in range(60)
]


def test_only_what_is_new_is_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    template = make_builder(CHATML)._template
    template.render_prefixes(CHAT)
    num_rendered: list[int] = []
    render = template._tokenizer.apply_chat_template

    def counted(messages: list[object], **options: object) -> object:
        num_rendered.append(len(messages))
        return render(messages, **options)

    monkeypatch.setattr(template._tokenizer, "apply_chat_template", counted)
    for draft in ("d", "draft"):
        template.render_prefixes([*CHAT, ChatMessage("user", draft)])
    assert num_rendered == [len(CHAT) + 1] * 2
    # Other tools and another beginning are rendered once, however often they come by turns.
    others = [ChatMessage("user", "So it is done."), *CHAT]
    nums = []
    for _ in range(3):
        template.render_prefixes(CHAT)
        template.render_prefixes(CHAT, (TOOL,))
        template.render_prefixes(others)
        nums.append(len(num_rendered))
    assert nums[0] == nums[-1] <= 2 + 2 * (len(CHAT) + len(others))


@pytest.mark.parametrize("name", [name for name in TEMPLATES if name not in BEGIN_ANEW])
def test_no_more_text_is_kept_than_the_chat_has(name: str) -> None:
    """Twice the chat takes twice the room, however the template writes it."""
    prompts = BUILDERS[name]._template
    prefixes = prompts.render_prefixes(CHAT)
    whole = sum(len(message.content) + 50 for message in CHAT)
    kept = [prefixes._last, *(prefix.tail or "" for prefix in prefixes._prefixes)]
    assert 0 < sum(map(len, kept)) < 3 * whole
    num_kept = sum(len(known.text) for known in BUILDERS[name]._memory._texts)
    assert num_kept <= 2 * 3 * whole


def test_the_last_prompt_is_put_together_again() -> None:
    messages = [ChatMessage("user", str(index)) for index in range(5)]
    texts = ["abc", None, "abxyz", "a", "abxyz!"]
    prefixes = PromptPrefixes()
    for message, text in zip(messages, texts, strict=True):
        prefixes.add(message, text)
    for length in range(6):
        known = prefixes.first(prefixes.num_same(messages[:length]))
        last = next((text for text in reversed(texts[:length]) if text is not None), "")
        assert known._last == last
        assert len(known) == length


def make_metaspace() -> PreTrainedTokenizerFast:
    """One that puts a space ahead of the first word of a text, as Llama 1 does."""
    tokenizer = make_tokenizer(CHATML)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(prepend_scheme="first"), pre_tokenizers.ByteLevel(False)]
    )
    tokenizer.backend_tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def make_stripping() -> PreTrainedTokenizerFast:
    """One whose special tokens take the spaces around them, and contain one another."""
    tokenizer = make_tokenizer(CHATML)
    tokens = [
        AddedToken("<|im_end|>\n<|im_start|>user", special=True, normalized=False),
        AddedToken("[stop]", special=True, normalized=False, lstrip=True, rstrip=True),
        AddedToken("word", normalized=False, single_word=True),
        AddedToken("\n", normalized=True),
    ]
    tokenizer.add_tokens(tokens)
    return tokenizer


MEMORIES = {
    "plain": PromptBuilder(make_tokenizer(CHATML)),
    "metaspace": PromptBuilder(make_metaspace()),
    "stripping": PromptBuilder(make_stripping()),
}
_LONG = "<|im_start|>user\n" + "What is the capital of France? " * 150 + "<|im_end|>\n"
_BITS = (
    "<|im_start|>", "<|im_end|>", "\n", "user", " ", "[stop]", "word", "What", "é", "<|im_", "汉",
)  # fmt: skip


@pytest.mark.parametrize("name", MEMORIES)
def test_what_is_cut_on_from_a_special_token_is_what_is_cut_whole(name: str) -> None:
    builder = MEMORIES[name]
    random = Random(5)
    text = _LONG
    for _ in range(80):
        text = text[: max(len(_LONG) - 20, len(text) - random.randint(0, 40))]
        text += "".join(random.choices(_BITS, k=random.randint(0, 12)))
        tokens = builder._memory.cut(text)
        assert (tokens.numbers.tolist(), tokens.starts.tolist()) == builder._cut(text)


def test_a_draft_alone_is_cut_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    builder = make_builder(CHATML)
    chat = [*CHAT, ChatMessage("user", "d")]
    builder.count(chat)
    lengths: list[int] = []
    encode = builder._encode

    def noted(text: str) -> tuple[list[int], list[int]]:
        lengths.append(len(text))
        return encode(text)

    monkeypatch.setattr(builder, "_encode", noted)
    longer = [*CHAT, ChatMessage("user", "draft")]
    assert builder.count(longer) == make_builder(CHATML).count(longer)
    assert sum(lengths) < 500


def test_thoughts_are_counted_once_and_with_each_message_that_has_them() -> None:
    chat = [
        message if message.role == "user" else ChatMessage("assistant", "x", thinking="Hm, well.")
        for message in CHAT
    ]
    builder = make_builder(SHOWS_THOUGHTS)
    first = builder.count_thinking(chat)
    assert first[0] == 30 * len(builder._tokenizer("Hm, well.")["input_ids"])
    assert first[1] >= first[0]
    assert builder.count_thinking(chat) == first
    assert builder.count_thinking(CHAT) == (0, 0)
