"""An engine without a model or a process: it says what it is told to."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from chatbot.engine.client import EngineStatus
from chatbot.engine.protocol.answer import AnswerEvent, Delta, Generate, Generated, TokensRecorded
from chatbot.engine.protocol.messages import ChatMessage
from chatbot.engine.protocol.model_info import ModelInfo
from chatbot.engine.protocol.prompt import Count, Counted, Render, Rendered
from chatbot.errors import WorkerError
from chatbot.messages import FinishReason, Statistics
from chatbot.settings import Precision, Sampling
from chatbot.tokens import TokenRecord

INFO = ModelInfo(
    name="fake",
    precision="fp32",
    device="cpu",
    context_length=100_000,
    num_parameters=1_000_000_000,
    load_seconds=0.0,
)


class FakeGeneration:
    def __init__(self, pieces: Sequence[str], seconds: float, reason: FinishReason) -> None:
        self._pieces = pieces
        self._seconds = seconds
        self._reason = reason
        self._is_cancelled = False

    async def __aiter__(self) -> AsyncIterator[AnswerEvent]:
        number = 0
        for number, piece in enumerate(self._pieces, 1):
            await asyncio.sleep(self._seconds)
            if self._is_cancelled:
                break
            if piece == "<dies>":
                raise WorkerError("The engine died; send your message again.")
            yield Delta(request_id=1, text=piece, num_tokens=number)
            record = TokenRecord(number, piece, "text", 0.5, 0.75, 1, 1, 1.0, 0.5)
            yield TokensRecorded(request_id=1, tokens=(record,))
        reason: FinishReason = "cancelled" if self._is_cancelled else self._reason
        statistics = Statistics(
            num_prompt_tokens=10,
            num_cached_tokens=0,
            num_new_tokens=number,
            first_token_seconds=0.1,
            decode_seconds=0.5,
        )
        yield Generated(request_id=1, finish_reason=reason, statistics=statistics)

    def cancel(self) -> None:
        self._is_cancelled = True

    def set_sampling(self, sampling: Sampling) -> None:
        pass

    def hold(self, num_steps: int | None = 0) -> None:
        pass

    def answer_now(self) -> None:
        pass


class FakeEngine:
    def __init__(
        self, answer: Callable[[Sequence[ChatMessage]], Sequence[str]], seconds: float = 0.0
    ) -> None:
        """An engine that gives ``answer`` to the messages, piece by piece."""
        self.status = EngineStatus(state="ready", info=INFO)
        self.reason: FinishReason = "stop"
        self.asked: list[tuple[tuple[ChatMessage, ...], bool]] = []
        """The messages of each request, and whether the last was to be continued."""
        self._answer = answer
        self._seconds = seconds

    def on_status(self, watcher: Callable[[EngineStatus], None]) -> None:
        pass

    async def ensure_loaded(self, model: str, precision: Precision) -> ModelInfo:
        return INFO

    async def count(self, request: Count) -> Counted:
        sizes = tuple(len(message.content.split()) for message in request.messages)
        num_opening = 0 if request.continue_last else 3
        return Counted(request_id=1, message_tokens=sizes, generation_prompt_tokens=num_opening)

    async def render(self, request: Render) -> Rendered:
        text = "\n".join(message.content for message in request.messages)
        return Rendered(request_id=1, text=text, num_tokens=1)

    def generate(self, request: Generate) -> FakeGeneration:
        self.asked.append((request.messages, request.continue_last))
        return FakeGeneration(self._answer(request.messages), self._seconds, self.reason)
