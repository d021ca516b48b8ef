"""A lane answers whatever happens: who asked would wait for ever."""

import queue

import pytest

from chatbot.retrieval.lanes import Lane
from chatbot.retrieval.protocol import ListDocuments, RetrievalRequest
from chatbot.worker.protocol import Failed


class PanicException(BaseException):
    """As libraries in Rust raise it."""


@pytest.mark.parametrize("error", [ValueError("odd"), PanicException("start <= end")])
def test_a_lane_goes_on_after_anything(
    error: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    answers: queue.SimpleQueue[object] = queue.SimpleQueue()

    def answer(request: RetrievalRequest) -> Failed:
        if request.id == 1:
            raise error
        return Failed(request_id=request.id, message="as asked", kind="")

    lane = Lane("tested", answer, answers.put)  # type: ignore[arg-type]
    for number in (1, 2):
        lane.put(ListDocuments(id=number, folder="x"))
    first, second = answers.get(timeout=10), answers.get(timeout=10)
    assert isinstance(first, Failed)
    assert isinstance(second, Failed)
    assert (first.request_id, first.kind) == (1, type(error).__name__)
    assert second.message == "as asked"
    assert str(error) in capsys.readouterr().err
