"""Switching precision again and again: memory comes back, and the estimate is near it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import psutil
import pytest

from chatbot.config import Config
from chatbot.engine.protocol.messages import ChatMessage
from chatbot.engine.protocol.prompt import Count
from chatbot.events import TurnFinished
from chatbot.models.catalogue import catalogue
from chatbot.models.hardware import look
from chatbot.models.memory import memory_need, weight_bytes
from chatbot.session import Session
from chatbot.settings import Precision, Sampling, Settings
from tests.engine.running_engine import RunningEngine

pytestmark = pytest.mark.timeout(400)

NAME = "smollm2-135m"
SHAPE = msgspec.structs.replace(catalogue()[NAME].shape, in_16_bits=True)
QUESTION = (ChatMessage("user", "What is the capital of France?"),)
ROUND: Sequence[Precision] = ("fp32", "bf16", "8-bit", "4-bit")


@pytest.fixture
def own_engine(models_cache: Path, tmp_path: Path) -> Iterator[RunningEngine]:
    running = RunningEngine({"CHATBOT_CACHE_DIR": str(models_cache)}, tmp_path / "engine.log")
    yield running
    running.end()


def resident(pid: int) -> int:
    """Bytes that a process holds in memory, what it maps of files left out."""
    memory = psutil.Process(pid).memory_info()
    return int(memory.rss - memory.shared)


@pytest.mark.slow
def test_the_estimate_is_near_what_is_measured(own_engine: RunningEngine) -> None:
    """Tensors are held against weights, and the whole process against the whole estimate."""
    on_cpu = look().is_cpu
    for precision in ROUND:
        loaded = own_engine.ask("Load", model=NAME, precision=precision)
        assert loaded["type"] == "Loaded", loaded
        estimate = weight_bytes(SHAPE, precision, on_cpu=on_cpu)
        assert loaded["info"]["weight_bytes"] == pytest.approx(estimate, rel=0.01)
        own_engine.send(
            "Generate",
            messages=[{"role": "user", "content": "word " * 120}],
            sampling={"temperature": 0, "max_tokens": 1},
        )
        last = own_engine.rest()[-1]
        assert last["type"] == "Generated", last
        own_engine.ask(
            "Count", messages=[{"role": "user", "content": "x"}]
        )  # after which the answer's own memory is back
        num_tokens = last["statistics"]["num_prompt_tokens"]
        need = memory_need(SHAPE, precision, num_tokens, on_cpu=on_cpu)
        whole = psutil.Process(own_engine.process.pid).memory_info().rss
        assert whole == pytest.approx(need.total, rel=0.10), precision


async def answer(session: Session, question: str) -> str:
    """The first tokens of an answer within the conversation."""
    text = ""
    async for event in session.manager.reply(question):
        if isinstance(event, TurnFinished):
            text = event.answer.text
    return text


async def switch_rounds(count: int, precisions: Sequence[Precision]) -> float:
    """Switch through ``precisions`` in one conversation; returns by how much memory grew.

    Every answer has a token, and the conversation before it stays as it was.
    """
    sampling = Sampling(temperature=0, max_tokens=2)
    settings = Settings(model=NAME, precision="fp32", sampling=sampling, max_history=2)
    settings = msgspec.structs.replace(settings, folders=())
    async with Session(Config(settings=settings), settings, keeps_chats=False) as session:
        manager = session.manager
        texts = [await answer(session, QUESTION[0].content)]
        sizes = []
        for _ in range(count + 1):  # the first one is the one that the others are held against
            for precision in precisions:
                manager.change_setting("precision", precision)
                await manager.load_model()
                info = session.engine.status.info
                assert info is not None
                assert info.precision == precision
                estimate = weight_bytes(SHAPE, precision, on_cpu=look().is_cpu)
                assert info.weight_bytes == pytest.approx(estimate, rel=0.01)
                texts.append(await answer(session, f"And now, in {precision}?"))
                assert texts[-1]
            path = manager.conversation.path()
            assert [m.text for m in path if m.role == "assistant"] == texts
            # After which the answer's own memory is back.
            await session.engine.count(Count(messages=QUESTION))
            assert session.engine.pid is not None
            sizes.append(resident(session.engine.pid))
    print("MiB after each round:", [size >> 20 for size in sizes])
    return max(sizes[1:]) / sizes[0] - 1


async def test_switching_precision_leaves_no_memory_behind() -> None:
    assert await switch_rounds(1, ("4-bit", "fp32")) <= 0.05


@pytest.mark.slow
async def test_ten_rounds_leave_no_memory_behind() -> None:
    growth = await switch_rounds(10, (*ROUND[1:], "fp32"))
    print(f"growth over ten rounds: {growth:.1%}")
    assert growth <= 0.05
