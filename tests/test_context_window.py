"""Fifty turns in a small window, with the real tokenizer: every number is the tokenizer's."""

from pathlib import Path

import msgspec
import pytest
from tokenizers import Tokenizer

from chatbot.config import Config
from chatbot.conversation.prompt_building import build_prompt
from chatbot.conversation.prompt_preview import preview_prompt
from chatbot.engine.protocol.prompt import Render
from chatbot.messages import Message, TextPart
from chatbot.session import Session
from chatbot.settings import Settings
from chatbot.weights import SMOLLM2

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(SMOLLM2.find() is None, reason="the built-in weights are not installed"),
]

WINDOW = 1024
WORDS = [
    "the",
    "lamp",
    "turned",
    "slowly",
    "over",
    "a",
    "calm",
    "sea",
    "while",
    "ships",
    "passed",
    "far",
    "out",
    "in",
    "the",
    "dark",
]


def text(number: int, length: int) -> str:
    return " ".join([f"Turn {number}:", *(WORDS[(number + i) % len(WORDS)] for i in range(length))])


async def test_fifty_turns_in_a_small_window(models_cache: Path) -> None:
    settings = msgspec.structs.replace(Settings(), context_length=WINDOW)
    async with Session(Config(), settings, keeps_chats=False) as session:
        info = await session.engine.ensure_loaded(settings.model, settings.precision)
        (file,) = models_cache.glob("models/smollm2-135m-*/tokenizer.json")
        tokenizer = Tokenizer.from_file(str(file))

        def size(role: str, content: str) -> int:
            written = f"<|im_start|>{role}\n{content}<|im_end|>\n"
            return len(tokenizer.encode(written, add_special_tokens=False))

        conversation = session.manager.conversation
        parent: str | None = None
        for number in range(50):
            question = Message(
                role="user", parts=(TextPart(text(number, 5 + number % 9)),), parent_id=parent
            )
            conversation.add(question)
            path = conversation.path()
            prompt = await build_prompt(session.engine, path, settings, info)
            built = prompt.built
            opening = len(tokenizer.encode("<|im_start|>assistant\n", add_special_tokens=False))
            sizes = [size(m.role, m.content) for m in prompt.messages]
            assert built.num_system_tokens == sizes[0]
            assert built.num_history_tokens == sum(sizes[1:-1])
            assert built.num_question_tokens == sizes[-1]
            assert built.num_prompt_tokens == sum(sizes) + opening
            assert built.num_prompt_tokens + built.room <= built.context_length == WINDOW
            # What is left out is the start of the chat, and all that is given follows it.
            assert built.left_out == tuple(m.id for m in path[: len(built.left_out)])
            given = [m.text for m in path[len(built.left_out) :]]
            assert [m.content for m in prompt.messages[1:]] == given
            answer = Message(
                role="assistant",
                parts=(TextPart(text(number, 10 + number % 30)),),
                parent_id=question.id,
            )
            conversation.add(answer)
            parent = answer.id
        assert built.left_out
        preview = await preview_prompt(session.manager, "And the next one?")
        assert preview is not None
        assert preview.num_question_tokens == size("user", "And the next one?")
        rendered = await session.engine.render(Render(messages=prompt.messages))
        assert rendered.num_tokens == built.num_prompt_tokens
