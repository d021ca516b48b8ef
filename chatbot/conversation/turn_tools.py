"""What the tools contribute to one turn: the calls of each round, carried out as they come.

Knows neither the engine's process nor how a call was written.
"""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import TYPE_CHECKING, Final

from chatbot.conversation.tools import Tools
from chatbot.conversation.window_fitting import MIN_ROOM
from chatbot.engine.protocol.messages import ToolSchema
from chatbot.engine.protocol.model_info import ModelInfo
from chatbot.events import ToolCalled, ToolFinished, ToolRunning
from chatbot.messages import Message, ToolCallPart, ToolResultPart
from chatbot.terminal_text import clean, clean_line

if TYPE_CHECKING:
    from chatbot.tools.turn import ToolTurn
    from chatbot.tools.values import ToolOutcome

_BYTES_PER_TOKEN: Final = 2
"""Of a result; English has about four, digits and brackets two."""
_MIN_RESULT_BYTES: Final = 256

STOPPED: Final = "The call was stopped by the user."


class TurnTools:
    """The calls of one answer, while it is being made."""

    def __init__(self, tools: Tools | None, path: Callable[[], Iterable[Message]]) -> None:
        """Prepare.

        Args:
            tools: those of the run; None for none.
            path: gives the messages before the answer, and what there was of it.
        """
        self._tools = tools
        self._path = path
        self._turn: ToolTurn | None = None
        self._calls: list[ToolCallPart] = []
        self._broken: list[ToolResultPart] = []
        self._work: asyncio.Task[tuple[ToolOutcome, ...]] | None = None
        self.unanswered: list[ToolCallPart] = []
        """Calls of this round of which nothing became yet."""

    def schemas(self, info: ModelInfo) -> tuple[ToolSchema, ...]:
        """What the model is told of; nothing once its rounds are over."""
        if self._tools is None or (self._turn and self._turn.rounds_left <= 0):
            return ()
        return self._tools.schemas(info)

    @property
    def are_chosen(self) -> bool:
        """Whether the user switched a tool on for such questions."""
        return self._tools is not None and self._tools.are_chosen

    def called(self, name: str, arguments: str, raw: str) -> ToolCallPart:
        """Note a call of this round."""
        part = ToolCallPart(
            # Letters and digits alone, nine of them: the strictest of the templates wants that.
            id=uuid.uuid4().hex[:9],
            name=clean_line(name, 64),
            arguments=clean(arguments),
            raw=raw,
        )
        self._calls.append(part)
        self.unanswered.append(part)
        return part

    def broken(self, name: str, raw: str, reason: str) -> ToolCallPart:
        """Note what the model meant as a call and is none; it is told so."""
        part = self.called(name, raw, raw)
        self._broken.append(ToolResultPart(call_id=part.id, text=reason, is_error=True))
        return part

    @property
    def are_to_run(self) -> bool:
        """Whether the answer waits for this round's calls."""
        return bool(self._calls)

    async def run_round(
        self, *, is_tainted: bool, num_tokens_left: int
    ) -> AsyncGenerator[ToolRunning | ToolFinished]:
        """Carry out the calls that were noted since the last round.

        Closing the generator ends what runs, and so does ``stop``.

        Args:
            is_tainted: sources are in the context.
            num_tokens_left: of the window, for the results and the rest of the answer.
        """
        from chatbot.tools.values import MAX_RESULT_BYTES, ToolCall

        if self._tools is None:
            raise RuntimeError("a model without tools cannot have called one")
        if self._turn is None:
            self._turn = self._tools.begin_turn(self._path(), is_tainted=is_tainted)
        calls, self._calls = self._calls, []
        broken, self._broken = self._broken, []
        for result in broken:
            self._answered(result)
            yield ToolFinished(result)
        ids = {result.call_id for result in broken}
        whole = [
            ToolCall(id=call.id, name=call.name, arguments=call.arguments)
            for call in calls
            if call.id not in ids
        ]
        room = max(0, num_tokens_left - MIN_ROOM) * 3 // 4  # the rest is for the answer
        self._turn.max_result_bytes = max(
            _MIN_RESULT_BYTES,
            min(MAX_RESULT_BYTES, room * _BYTES_PER_TOKEN // max(len(whole), 1)),
        )
        happened: asyncio.Queue[ToolRunning | ToolFinished | None] = asyncio.Queue()
        self._work = work = asyncio.create_task(
            self._turn.run_round(
                whole,
                on_start=lambda call: happened.put_nowait(ToolRunning(call.id)),
                on_end=lambda outcome: happened.put_nowait(ToolFinished(_result_of(outcome))),
            )
        )
        work.add_done_callback(lambda done: happened.put_nowait(None))
        try:
            while event := await happened.get():
                if isinstance(event, ToolFinished):
                    self._answered(event.result)
                yield event
            if not work.cancelled():
                work.result()
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    def stop(self) -> None:
        """End the calls that run, and dismiss the question that the user is asked."""
        if self._work:
            self._work.cancel()

    def _answered(self, result: ToolResultPart) -> None:
        self.unanswered = [call for call in self.unanswered if call.id != result.call_id]

    def give_up(self) -> list[ToolResultPart]:
        """The turn is over: what is to be said of the calls that nothing became of."""
        calls, self.unanswered, self._calls = self.unanswered, [], []
        return [ToolResultPart(call_id=call.id, text=STOPPED, is_error=True) for call in calls]


def tool_call_event(part: ToolCallPart) -> ToolCalled:
    """What the faces hear of a call: all but the model's own tokens, which are not clean."""
    return ToolCalled(ToolCallPart(id=part.id, name=part.name, arguments=part.arguments))


def _result_of(outcome: "ToolOutcome") -> ToolResultPart:
    return ToolResultPart(
        call_id=outcome.call_id,
        text=clean(outcome.error or outcome.result),
        is_error=bool(outcome.error),
        seconds=outcome.seconds,
        approved_by=outcome.approved_by,
    )
