"""What carries out requests, without its process."""

from collections.abc import Iterator
from typing import Any

from chatbot.engine.inbox import Control
from chatbot.engine.protocol import EngineRequest
from chatbot.engine.protocol.answer import Generate
from chatbot.engine.protocol.messages import ChatMessage
from chatbot.engine.protocol.prompt import Count, Render
from chatbot.engine.server import Engine
from chatbot.settings import Sampling
from chatbot.worker.protocol import Failed

QUESTION = (ChatMessage("user", "What is the capital of France?"),)


class Told:
    """Channel and inbox in one: a few requests, and what is sent for them."""

    def __init__(self, *requests: EngineRequest) -> None:
        self.requests = requests
        self.sent: list[Any] = []

    def take(self) -> Iterator[EngineRequest]:
        return iter(self.requests)

    def control_of(self, request: Generate) -> Control:
        return Control(request.sampling)

    def send(self, event: Any) -> None:
        self.sent.append(event)


def test_without_a_model_nothing_can_be_asked() -> None:
    told = Told(
        Count(id=1, messages=QUESTION),
        Render(id=2, messages=QUESTION),
        Generate(id=3, messages=QUESTION, sampling=Sampling()),
    )
    Engine(told, told).run()  # type: ignore[arg-type]
    assert [event.request_id for event in told.sent] == [1, 2, 3]
    for event in told.sent:
        assert isinstance(event, Failed)
        assert "No model is loaded" in event.message
