"""An engine in the test's own process that follows a script, one step at a time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import msgspec

from chatbot.engine.client import EngineStatus
from chatbot.engine.protocol.answer import (
    AnswerEvent,
    Delta,
    Generate,
    Generated,
    Held,
    SamplingApplied,
    ThinkingCut,
    ThinkingDelta,
    TokensRecorded,
    ToolCallBroken,
    ToolCallReady,
    ToolCallStarted,
)
from chatbot.engine.protocol.messages import ChatMessage
from chatbot.engine.protocol.model_info import AdapterUse, ModelInfo
from chatbot.engine.protocol.prompt import Count, Counted, Render, Rendered
from chatbot.engine.protocol.variants import (
    BeamsMoved,
    GenerateVariants,
    SearchBeams,
    VariantDelta,
    VariantDone,
    VariantEvent,
    VariantSamplingApplied,
    VariantsGenerated,
    VariantsHeld,
    VariantThinkingCut,
    VariantTokens,
)
from chatbot.errors import ChatbotError, ModelError
from chatbot.messages import FinishReason, Statistics
from chatbot.settings import Precision, Sampling
from chatbot.tokens import Beam, TokenRecord

Step = (
    str
    | ThinkingDelta
    | ThinkingCut
    | ToolCallStarted
    | ToolCallReady
    | ToolCallBroken
    | TokensRecorded
    | Held
    | VariantDelta
    | VariantThinkingCut
    | VariantSamplingApplied
    | VariantsHeld
    | ChatbotError
    | asyncio.Event
    | Callable[[], None]
)
"""A piece of text to say, an event to send, an error to raise, a gate to wait at, or something
to do."""


def call(name: str, arguments: str = "{}", index: int = 0) -> ToolCallReady:
    """A call, as the engine tells of it."""
    raw = f"<call>{name} {arguments}</call>"
    return ToolCallReady(request_id=1, index=index, name=name, arguments=arguments, raw=raw)


STATISTICS = Statistics(
    num_prompt_tokens=9,
    num_cached_tokens=4,
    num_new_tokens=3,
    first_token_seconds=0.25,
    decode_seconds=0.5,
)

TEMPLATE_TOKENS = 3
"""What the template puts after the last message."""


def info_of(model: str, precision: Precision = "auto", context_length: int = 100) -> ModelInfo:
    return ModelInfo(
        name=model,
        precision="fp32" if precision == "auto" else precision,
        device="cpu",
        context_length=context_length,
        num_parameters=1_000_000_000,
        load_seconds=0.5,
    )


def tokens_of(message: ChatMessage) -> int:
    """One token a word, and one for the role."""
    return 1 + len(message.content.split())


class FakeEngine:
    """Loads at once, counts words, and says what ``script`` says."""

    def __init__(self, *script: Step, context_length: int = 100) -> None:
        self.status = EngineStatus()
        self.script: Sequence[Step] = script
        self.rounds: list[Sequence[Step]] = []
        """Scripts of the next answers, one each; ``script`` follows."""
        self.dialect = "hermes"
        self.thinks = True
        self.num_thinking_tokens = (0, 0)
        """What it counts: all that was thought, and what of it the prompt shows."""
        self.reason: FinishReason = "stop"
        """Why its answers end, where nothing else ends them."""
        self.statistics = STATISTICS
        """What its answers cost."""
        self.tools: list[tuple[str, ...]] = []
        """Names of the tools that each answer was given."""
        self.schemas: list[str] = []
        self.continued: list[bool] = []
        self.begun_tokens: list[tuple[int, ...]] = []
        self.context_length = context_length
        self.missing: set[str] = set()
        """Models that cannot be loaded."""
        self.load_gates: dict[str, asyncio.Event] = {}
        """What the load of a model waits for."""
        self.count_gate: asyncio.Event | None = None
        self.count_error: ChatbotError | None = None
        self.loads: list[tuple[str, str]] = []
        self.reserved: list[int] = []
        """Windows that loads were to reckon with."""
        self.prompts: list[tuple[ChatMessage, ...]] = []
        self.drawn_seeds: list[bool] = []
        self.generations: list[FakeGeneration] = []
        self.adapters: tuple[AdapterUse, ...] = ()
        self.samplings: list[tuple[Sampling, ...]] = []
        """Of each batch."""
        self.variants: FakeVariants | None = None
        """The last batch."""

    def reserve(self, context_length: int) -> None:
        self.reserved.append(context_length)

    def on_status(self, watcher: Callable[[EngineStatus], None]) -> None:
        raise NotImplementedError

    async def ensure_loaded(self, model: str, precision: Precision) -> ModelInfo:
        self.loads.append((model, precision))
        if gate := self.load_gates.get(model):
            await gate.wait()
        if model in self.missing:
            raise ModelError(f"There is no model {model}.")
        info = info_of(model, precision, self.context_length)
        info = msgspec.structs.replace(info, tool_dialect=self.dialect, thinks=self.thinks)
        self.status = EngineStatus(state="ready", info=info)
        return info

    async def count(self, request: Count) -> Counted:
        if self.count_gate:
            await self.count_gate.wait()
        if self.count_error:
            raise self.count_error
        return Counted(
            request_id=1,
            message_tokens=tuple(map(tokens_of, request.messages)),
            generation_prompt_tokens=TEMPLATE_TOKENS,
            thinking_tokens=self.num_thinking_tokens[0],
            shown_thinking_tokens=self.num_thinking_tokens[1],
        )

    async def render(self, request: Render) -> Rendered:
        text = "\n".join(f"<{m.role}>{m.content}" for m in request.messages)
        return Rendered(request_id=1, text=text, num_tokens=sum(map(tokens_of, request.messages)))

    def generate(self, request: Generate) -> "FakeGeneration":
        self.begun_tokens.append(request.begun_tokens)
        self.prompts.append(request.messages)
        self.tools.append(tuple(tool.name for tool in request.tools))
        self.schemas.append(request.schema)
        self.continued.append(request.continue_last)
        self.drawn_seeds.append(request.is_seed_drawn)
        script = self.rounds.pop(0) if self.rounds else self.script
        generation = FakeGeneration(script, request.sampling, request.context_length, self.reason)
        generation.statistics = self.statistics
        self.generations.append(generation)
        return generation

    def generate_several(self, request: GenerateVariants | SearchBeams) -> "FakeVariants":
        is_search = isinstance(request, SearchBeams)
        samplings = (request.sampling,) * request.num_beams if is_search else request.samplings
        self.prompts.append(request.messages)
        self.samplings.append(samplings)
        script = self.rounds.pop(0) if self.rounds else self.script
        self.variants = FakeVariants(script, len(samplings), is_search=is_search)
        return self.variants

    async def use_adapters(self, adapters: Sequence[AdapterUse]) -> ModelInfo:
        self.adapters = tuple(adapters)
        return info_of("adapted")


class FakeVariants:
    """Several answers out of the script; all but the first piece of it has the answer's index."""

    def __init__(self, script: Sequence[Step], number: int, *, is_search: bool) -> None:
        self.is_cancelled = False
        self.is_waiting = False
        self.is_search = is_search
        self.samplings: list[tuple[Sampling, ...]] = []
        """What it was told to go on with."""
        self.holds: list[int | None] = []
        self.num_answers_wanted = 0
        """How often it was told to think no longer."""
        self._script = script
        self._number = number
        self._wake = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[VariantEvent]:
        num_tokens = 0
        said: list[str] = []
        reason: FinishReason = "stop"
        for step in self._script:
            if isinstance(step, asyncio.Event):
                waits = [asyncio.ensure_future(e.wait()) for e in (step, self._wake)]
                self.is_waiting = True
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                self.is_waiting = False
            elif callable(step):
                step()
            if self.is_cancelled:
                reason = "cancelled"
                break
            if isinstance(step, ChatbotError):
                raise step
            if isinstance(
                step, VariantDelta | VariantThinkingCut | VariantSamplingApplied | VariantsHeld
            ):
                yield step
            if isinstance(step, str):
                num_tokens += 1
                if self.is_search:
                    beam = Beam(step, -1.0, -0.5, num_tokens, 0)
                    yield BeamsMoved(request_id=1, num_tokens=num_tokens, live=(beam,))
                    said.append(step)
                    continue
                for variant in range(self._number):
                    text = f"{step}{variant}" if num_tokens > 1 else step
                    yield VariantDelta(
                        request_id=1, variant=variant, text=text, num_tokens=num_tokens
                    )
                    record = TokenRecord(num_tokens, text, "text", 0.5, 0.5, 1, 1, 1.0, 1.0)
                    yield VariantTokens(request_id=1, variant=variant, tokens=(record,))
        # They end in another order than they began.
        for variant in reversed(range(self._number)):
            if self.is_search:
                text = "".join(said)
                yield VariantDelta(request_id=1, variant=variant, text=text, num_tokens=num_tokens)
            yield VariantDone(
                request_id=1,
                variant=variant,
                finish_reason=reason,
                statistics=STATISTICS,
                score=-0.5 - variant if self.is_search else None,
            )
        yield VariantsGenerated(
            request_id=1,
            num_prompt_tokens=9,
            num_read_tokens=5,
            num_new_tokens=3 * self._number,
            seconds=0.5,
        )

    def cancel(self) -> None:
        self.is_cancelled = True
        self._wake.set()

    def set_samplings(self, samplings: Sequence[Sampling]) -> None:
        self.samplings.append(tuple(samplings))

    def hold(self, num_steps: int | None = 0) -> None:
        self.holds.append(num_steps)

    def answer_now(self) -> None:
        self.num_answers_wanted += 1


class FakeGeneration:
    """One answer out of the script."""

    def __init__(
        self,
        script: Sequence[Step],
        sampling: Sampling,
        context_length: int,
        reason: FinishReason = "stop",
    ) -> None:
        self.reason = reason
        self.statistics = STATISTICS
        self.sampling = sampling
        self.context_length = context_length
        self.is_cancelled = False
        self.is_waiting = False
        """Whether it is at a gate."""
        self._script = script
        self._applied: list[Sampling] = []
        self.holds: list[int | None] = []
        self.num_answers_wanted = 0
        """How often it was told to think no longer."""
        self._wake = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[AnswerEvent]:
        num_tokens = 0
        reason = self.reason
        for step in self._script:
            if isinstance(step, asyncio.Event):
                await self._pass(step)
            elif callable(step):
                step()
            for sampling in self._applied:
                yield SamplingApplied(request_id=1, sampling=sampling, num_tokens=num_tokens)
            self._applied.clear()
            if self.is_cancelled:
                reason = "cancelled"
                break
            if isinstance(step, ChatbotError):
                raise step
            if isinstance(step, str):
                num_tokens += 1
                yield Delta(request_id=1, text=step, num_tokens=num_tokens)
            elif isinstance(step, ToolCallReady):
                reason = "tool_calls"
                yield step
            elif isinstance(
                step,
                ThinkingDelta
                | ThinkingCut
                | ToolCallStarted
                | ToolCallBroken
                | TokensRecorded
                | Held,
            ):
                num_tokens = step.num_tokens if isinstance(step, ThinkingDelta) else num_tokens
                yield step
        yield Generated(request_id=1, finish_reason=reason, statistics=self.statistics)

    async def _pass(self, gate: asyncio.Event) -> None:
        """Wait at a gate, unless the answer is cancelled."""
        waits = [asyncio.ensure_future(e.wait()) for e in (gate, self._wake)]
        self.is_waiting = True
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        self.is_waiting = False
        for wait in waits:
            wait.cancel()

    def cancel(self) -> None:
        self.is_cancelled = True
        self._wake.set()

    def set_sampling(self, sampling: Sampling) -> None:
        self._applied.append(sampling)

    def hold(self, num_steps: int | None = 0) -> None:
        self.holds.append(num_steps)

    def answer_now(self) -> None:
        self.num_answers_wanted += 1
