"""Every family answers in the real engine process, in the form that it was trained on."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from chatbot.engine.chat_formats import FORMATS, format_of
from chatbot.engine.client import EngineClient
from chatbot.engine.protocol.answer import Delta, Generate, Generated, ThinkingDelta
from chatbot.engine.protocol.messages import ChatMessage
from chatbot.engine.protocol.prompt import Count, Render
from chatbot.models.facts import facts_of_folder
from chatbot.settings import Precision, Sampling
from tests.engine.families import FAMILIES, Family, write_family

MESSAGES = (ChatMessage("system", "Be kind."), ChatMessage("user", "Hi?"))
GREEDY = Sampling(temperature=0, max_tokens=6, repetition_penalty=1.1)
ANSWER = Generate(messages=MESSAGES, sampling=GREEDY)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture(scope="module")
def client(
    loop: asyncio.AbstractEventLoop, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EngineClient]:
    """One engine process for all of them; starting one takes seconds."""
    engine = EngineClient(tmp_path_factory.mktemp("log") / "engine.log")
    yield engine
    loop.run_until_complete(engine.close())


async def text_of(answer: AsyncIterator[object]) -> tuple[str, Generated]:
    text = ""
    async for event in answer:
        match event:
            case Delta(text=piece) | ThinkingDelta(text=piece):
                text += piece
            case Generated():
                return text, event
    raise AssertionError("the answer did not end")


def set_name(folder: Path, name: str) -> None:
    """What the model is called, as it stands in the folder of one that was fine-tuned."""
    file = folder / "config.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "_name_or_path": name}))


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_family_answers(
    family: Family, client: EngineClient, loop: asyncio.AbstractEventLoop, tmp_path: Path
) -> None:
    folder = write_family(family, tmp_path / family.name)
    if family.called:
        set_name(folder, family.called)

    async def converse(precision: Precision) -> None:
        info = await client.ensure_loaded(str(folder), precision)
        facts = facts_of_folder(str(folder), folder)
        assert facts.shape is not None
        assert info.num_parameters == facts.shape.num_parameters
        assert info.context_length == facts.shape.context_length == 512
        rendered = await client.render(Render(messages=MESSAGES))
        assert rendered.text.endswith(family.prompt_end)
        counted = await client.count(Count(messages=MESSAGES))
        size = sum(counted.message_tokens) + counted.generation_prompt_tokens
        assert size == rendered.num_tokens
        first, end = await text_of(aiter(client.generate(ANSWER)))
        assert end.statistics.num_new_tokens > 0
        again, end = await text_of(aiter(client.generate(ANSWER)))
        # In half precision, tokens read alone and together are rounded apart, and random weights
        # have many that are as likely as the best.
        assert again == first or precision == "bf16"
        assert end.statistics.num_cached_tokens > 0
        longer = (*MESSAGES, ChatMessage("assistant", first or "Yes."), ChatMessage("user", "And?"))
        request = Generate(messages=longer, sampling=GREEDY)
        _, end = await text_of(aiter(client.generate(request)))
        assert end.statistics.num_prompt_tokens > rendered.num_tokens

    loop.run_until_complete(converse("bf16"))
    loop.run_until_complete(converse("fp32"))


def going_on(text: str) -> Generate:
    messages = (ChatMessage("user", text),)
    return Generate(messages=messages, sampling=GREEDY, is_completion=True)


def test_text_is_gone_on_with_as_it_is(
    client: EngineClient, loop: asyncio.AbstractEventLoop, tmp_path: Path
) -> None:
    folder = write_family(FAMILIES[0], tmp_path / "gpt2")

    async def complete() -> None:
        await client.ensure_loaded(str(folder), "fp32")
        first, end = await text_of(aiter(client.generate(going_on("The capital of"))))
        assert end.statistics.num_new_tokens == 6
        _, longer = await text_of(aiter(client.generate(going_on("The capital of" + first))))
        assert longer.statistics.num_cached_tokens > 0
        chat, _ = await text_of(aiter(client.generate(ANSWER)))
        assert chat != first

    loop.run_until_complete(complete())


def test_who_has_which_form() -> None:
    assert format_of("rinna/bilingual-gpt-neox-4b-instruction-sft") is FORMATS["rinna"]
    assert format_of("elyza-7b") is FORMATS["llama2"]
    assert format_of("/some/folder", "microsoft/phi-2") is FORMATS["phi2"]
    assert format_of("gpt2") is None
    assert format_of("somebody/else") is None
