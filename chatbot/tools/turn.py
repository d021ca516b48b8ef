"""The tools' side of one turn: its rounds of calls, what is refused, who allowed the rest.

Whatever a call does wrong is told by its outcome, in a sentence that the model can act on.
Knows nothing of how the calls were written or how the results are put to the model.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from chatbot.errors import ToolChangedError, ToolError
from chatbot.messages import FilePart, Message, SourcesPart, ToolResultPart
from chatbot.terminal_text import clean_line
from chatbot.tools.approvals import Approver
from chatbot.tools.json_text import canonical, read_object, visible
from chatbot.tools.values import (
    MAX_ARGUMENT_BYTES,
    MAX_CALLS_PER_ROUND,
    MAX_RESULT_BYTES,
    MAX_ROUNDS,
    ApprovedBy,
    ToolCall,
    ToolDefinition,
    ToolOutcome,
)
from chatbot.wording import memory

if TYPE_CHECKING:
    from chatbot.tools.toolbox import ToolBox


class _Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """A call that may run."""

    call: ToolCall
    definition: ToolDefinition
    arguments: dict[str, Any]
    approved_by: ApprovedBy


class ToolTurn:
    """The calls of one turn."""

    def __init__(self, tools: "ToolBox", *, is_tainted: bool, approver: Approver | None) -> None:
        """Use ``ToolBox.begin_turn``."""
        self._tools = tools
        self._approver = approver
        self.max_result_bytes = MAX_RESULT_BYTES
        """Longest result from now on: what there is room for."""
        self._num_rounds = 0
        self._last_round: dict[str, str] = {}
        """The calls of the last round, and in a few words what came of each."""
        self._repeatable: set[str] = set()
        """Calls of this round whose tool was changed meanwhile; they are to be made again."""
        self.is_tainted = is_tainted
        """Text from documents, the web or a tool is in the context."""

    @property
    def rounds_left(self) -> int:
        """How many more rounds are run; at 0 the model has to answer without tools."""
        return MAX_ROUNDS - self._num_rounds

    async def run_round(
        self,
        calls: Sequence[ToolCall],
        on_start: Callable[[ToolCall], None] = lambda call: None,
        on_end: Callable[[ToolOutcome], None] = lambda outcome: None,
    ) -> tuple[ToolOutcome, ...]:
        """Run the calls that the model made at once, beside one another.

        The user is asked about one after the other, and each runs as soon as it is allowed.
        Cancelling this kills what runs. Nothing is raised for what a call or a tool does
        wrong: an outcome says it.

        Args:
            calls: of more than ``MAX_CALLS_PER_ROUND`` the others are not run.
            on_start: told of each call when it begins to run.
            on_end: told of each outcome as soon as there is one.

        Returns:
            One outcome for each call, in their order.
        """
        self._num_rounds += 1
        tasks: list[asyncio.Task[ToolOutcome] | ToolOutcome] = []
        seen = _Seen()
        async with asyncio.TaskGroup() as group:
            for index, call in enumerate(calls):
                try:
                    if index >= MAX_CALLS_PER_ROUND:
                        raise ToolError(f"Make at most {MAX_CALLS_PER_ROUND} calls at once.")
                    prepared = await self._prepare(call, index, seen)
                except ToolError as error:
                    outcome = ToolOutcome(
                        call_id=call.id, name=clean_line(call.name, 64), error=str(error)
                    )
                    on_end(outcome)
                    tasks.append(outcome)
                    continue
                on_start(call)
                tasks.append(group.create_task(self._execute(prepared, on_end)))
        outcomes = tuple(t if isinstance(t, ToolOutcome) else t.result() for t in tasks)
        self._last_round = seen.carried | {
            key: _gist(outcomes[index])
            for key, index in seen.indexes.items()
            if key not in self._repeatable
        }
        self._repeatable.clear()
        # From here on the model writes with what the tools said before its eyes.
        self.is_tainted = self.is_tainted or any(o.approved_by for o in outcomes)
        return outcomes

    async def _prepare(self, call: ToolCall, index: int, seen: "_Seen") -> _Prepared:
        """Check a call and get it allowed.

        Args:
            call: as the model made it.
            index: which of the round's calls it is.
            seen: the calls of this round so far; this one is added.

        Raises:
            ToolError: it is not run.
        """
        if self.rounds_left < 0:
            raise ToolError(f"{MAX_ROUNDS} rounds of calls are over: answer without tools now.")
        definition = await self._tools.find_usable(clean_line(call.name, 64))
        if len(call.arguments) > MAX_ARGUMENT_BYTES:
            raise ToolError(f"Write at most {memory(MAX_ARGUMENT_BYTES)} of arguments.")
        arguments = await self._tools.check(definition, read_object(call.arguments))
        self._refuse_repeat(definition.name, arguments, index, seen)
        approved_by = await self._tools.approve(
            definition,
            visible(arguments),
            is_tainted=self.is_tainted,
            approver=self._approver,
        )
        return _Prepared(
            call=call, definition=definition, arguments=arguments, approved_by=approved_by
        )

    def _refuse_repeat(
        self, name: str, arguments: dict[str, Any], index: int, seen: "_Seen"
    ) -> None:
        """Refuse what was called in the round before, or earlier in this one.

        Raises:
            ToolError: with what came of it then.
        """
        key = _key(name, arguments)
        if key in self._last_round:
            seen.carried[key] = self._last_round[key]
            raise ToolError(
                f"{name} was just called with these arguments ({self._last_round[key]}); go on "
                "from there, or call it with others."
            )
        if key in seen.indexes:
            raise ToolError(f"{name} is called twice at once with these arguments; use the first.")
        seen.indexes[key] = index

    async def _execute(
        self, prepared: _Prepared, on_end: Callable[[ToolOutcome], None]
    ) -> ToolOutcome:
        """Run an allowed call."""
        result, message = "", ""
        start = time.monotonic()
        try:
            result = await self._tools.execute(
                prepared.definition, prepared.arguments, self.max_result_bytes
            )
        except ToolChangedError as error:
            message = str(error)
            self._repeatable.add(_key(prepared.definition.name, prepared.arguments))
        except ToolError as error:
            message = str(error)
        outcome = ToolOutcome(
            call_id=prepared.call.id,
            name=prepared.definition.name,
            result=result,
            error=message,
            seconds=time.monotonic() - start,
            approved_by=prepared.approved_by,
        )
        on_end(outcome)
        return outcome


class _Seen(msgspec.Struct):
    """The calls of the running round."""

    indexes: dict[str, int] = msgspec.field(default_factory=dict)
    """Which call is the first of its kind."""
    carried: dict[str, str] = msgspec.field(default_factory=dict)
    """Repeats of the last round's calls, and what came of those."""


def _key(name: str, arguments: dict[str, Any]) -> str:
    return f"{name} {canonical(arguments)}"


def _gist(outcome: ToolOutcome) -> str:
    if outcome.error:
        return clean_line(f"it failed: {outcome.error}", 160)
    return clean_line(f"its result: {outcome.result}", 160)


def taints(messages: Iterable[Message]) -> bool:
    """Whether text that others wrote is in any of the messages: documents, files, what was piped
    in or imported, the web, or results of tools.

    To be asked of every message before the new one, those that are left out of the context
    window too: what the model wrote while it saw them is still there.
    """
    return any(
        message.is_foreign
        or any(
            isinstance(part, ToolResultPart | FilePart)
            or (isinstance(part, SourcesPart) and bool(part.sources))
            for part in message.parts
        )
        for message in messages
    )
