"""Steps launched ahead of the tokens they read, against steps that wait for them: the same answers.

Capturing is played by a stand-in that refuses what a GPU would refuse.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
import torch
from torch import Tensor

from chatbot.engine.decode.gpu.graphed_steps import NUM_EAGER
from chatbot.engine.decode.gpu.graphs import Capture, CudaCapture, Step
from chatbot.engine.decode.gpu.readback import Readback
from chatbot.engine.decode.gpu.static import StaticDecoder
from chatbot.engine.decode.plain import TransformersDecoder
from chatbot.engine.device_sampling import DeviceSampler
from chatbot.engine.drawing import DrawingRun
from chatbot.engine.history import TokenHistory
from chatbot.engine.inbox import Control
from chatbot.engine.kv_cache import CachedModel
from chatbot.engine.pipeline import Pipeline
from chatbot.engine.recording import Recorder, TokenTexts
from chatbot.engine.sampling import Sampler
from chatbot.engine.token_loop import Cut, Guide, Held, write_tokens
from chatbot.errors import ModelError
from chatbot.settings import Sampling
from chatbot.tokens import TokenRecord
from tests.engine.captures import NoWaiting, Replaying
from tests.engine.test_static_decoder import FAMILIES
from tests.engine.tiny_models import make_llama

PROMPT = [(11 * n) % 390 + 3 for n in range(250)]
GREEDY = Sampling(temperature=0, max_tokens=150)
SEEDED = Sampling(temperature=1.2, top_k=40, top_p=0.95, min_p=0.01, seed=5, max_tokens=150)
PENALISED = Sampling(
    temperature=0.9, top_k=0, top_p=1, repetition_penalty=1.4, seed=6, max_tokens=150
)


def shortened(sampling: Sampling) -> Sampling:
    return msgspec.structs.replace(sampling, max_tokens=40)


class OnDevice(CachedModel):
    """A model that is computed on a CPU as it would be on a GPU."""

    def __init__(
        self, model: Any, *, capture: Capture | None = None, is_ahead: bool = True
    ) -> None:
        self.capture = capture or Replaying()
        self.is_ahead = is_ahead
        super().__init__(model)

    def _make_decoder(self) -> StaticDecoder:
        step, reason = self._static_step()
        assert step is not None, reason
        return StaticDecoder(step, self._brake, self.capture)

    def sampler(self, history: TokenHistory) -> Sampler:
        return DeviceSampler(history, self.device, self._drawing_run)

    def _drawing_run(self, vocab_size: int) -> DrawingRun:
        if self._drawing is None:
            self._drawing = DrawingRun(vocab_size, self.device, self.capture)
        return self._drawing

    def pipeline(self, sampler: Sampler, num_facts: int) -> Pipeline | None:
        return super().pipeline(sampler, num_facts) if self.is_ahead else None


@pytest.fixture(scope="module")
def model() -> Any:
    return make_llama()


def write(
    cached: CachedModel,
    prompt: Sequence[int] = PROMPT,
    sampling: Sampling = SEEDED,
    *,
    end_tokens: frozenset[int] = frozenset(),
    guide: Guide | None = None,
    looks_up: bool = False,
    recorder: Recorder | None = None,
    during: Callable[[int, Control], None] = lambda count, control: None,
) -> tuple[list[object], str]:
    """What one answer yields, and why it ended."""
    control = Control(sampling)
    cached.rewind(prompt, reproducible=sampling.seed is not None)
    loop = write_tokens(
        cached,
        prompt,
        control,
        sampling=sampling,
        context_length=2000,
        end_tokens=end_tokens,
        guide=guide,
        looks_up=looks_up,
        recorder=recorder,
    )
    items: list[object] = []
    count = 0
    while True:
        try:
            item = next(loop)
        except StopIteration as end:
            return items, end.value
        items.append(item if isinstance(item, int | Sampling) else type(item))
        if isinstance(item, Held):
            control.hold(None)
        elif isinstance(item, int):
            count += 1
            if recorder:
                recorder.complete("x", "text")
            during(count, control)


def write_both(model: Any, **options: Any) -> tuple[OnDevice, list[object]]:
    """An answer with steps ahead, which must be the one without."""
    ahead, at_once = OnDevice(model), OnDevice(model, is_ahead=False)
    found = write(ahead, **options)
    assert found == write(at_once, **options)
    assert ahead._tokens == at_once._tokens
    return ahead, found[0]


@pytest.mark.parametrize("sampling", [GREEDY, SEEDED, PENALISED])
def test_answers_are_the_same_over_several_lengths(model: Any, sampling: Sampling) -> None:
    ahead, tokens = write_both(model, sampling=sampling)
    assert len(tokens) == 150
    assert ahead.decoder_name == "fused graph"
    assert isinstance(ahead.capture, Replaying)
    # Lengths of 256, 384 and 512, which the step and its draw are one graph of.
    assert ahead.capture.num_captured == 3
    assert ahead.capture.num_replayed == 149 - 3 * NUM_EAGER
    if sampling is GREEDY:
        plain = CachedModel(model)
        plain._decoder = TransformersDecoder(model, plain._brake)
        assert write(plain, sampling=GREEDY)[0] == tokens


def test_the_next_step_is_launched_before_a_token_is_looked_at(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    send, receive = Readback.send, Readback.receive

    def sent(self: Readback, values: Tensor) -> None:
        order.append("launched")
        send(self, values)

    def received(self: Readback) -> list[float]:
        order.append("looked at")
        return receive(self)

    monkeypatch.setattr(Readback, "send", sent)
    monkeypatch.setattr(Readback, "receive", received)
    write(OnDevice(model), sampling=Sampling(temperature=0, max_tokens=5))
    # The first token is the prompt's; nothing is launched that could only follow the last one.
    assert order == ["launched", *["launched", "looked at"] * 3, "looked at"]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_results_arrive_as_they_were_when_they_were_sent(device: str) -> None:
    values = torch.zeros(3, dtype=torch.float64, device=device)
    readback = Readback(values)
    readback.send(values.fill_(1))
    for n in range(2, 9):
        readback.send(values.fill_(n))
        assert readback.receive() == [n - 1] * 3
    readback.drop()
    readback.send(values.fill_(20))
    assert readback.receive() == [20] * 3


def test_memory_that_has_to_grow_is_waited_for(model: Any) -> None:
    prompt = [PROMPT[n % 250] for n in range(1000)]
    ahead, tokens = write_both(model, prompt=prompt, sampling=SEEDED)
    assert len(tokens) == 150
    assert ahead.decoder_name == "fused graph"


def test_changed_settings_act_on_the_next_token_without_a_new_capture(model: Any) -> None:
    hot = Sampling(temperature=2, top_k=0, top_p=1, seed=9, max_tokens=60)
    cold = Sampling(temperature=0, repetition_penalty=1.5, max_tokens=60)

    def change(count: int, control: Control) -> None:
        control.sampling = {20: hot, 21: cold, 40: SEEDED, 50: GREEDY}.get(count, control.sampling)

    short = Sampling(temperature=0, max_tokens=60)
    ahead, items = write_both(model, prompt=PROMPT[:40], sampling=short, during=change)
    assert [item for item in items if not isinstance(item, int)] == [hot, cold, SEEDED, GREEDY]
    assert items[20] is hot
    assert items[22] is cold
    assert isinstance(ahead.capture, Replaying)
    assert ahead.capture.num_captured <= 2  # the step with its draw; and the draw alone


def test_a_step_behind_the_end_leaves_no_trace(model: Any) -> None:
    expected, _ = write(OnDevice(model, is_ahead=False), sampling=shortened(SEEDED))
    end = expected[30]
    assert isinstance(end, int)
    ends = frozenset({end})
    ahead, tokens = write_both(model, end_tokens=ends)
    assert tokens == expected[: expected.index(end) + 1]
    assert ahead._tokens == [*PROMPT, *tokens[:-1]]
    # The next answers are those of a cache that was never ahead.
    fresh = OnDevice(model, is_ahead=False)
    write(fresh, end_tokens=ends)
    follow_up = [*PROMPT, *tokens, 5, 6, 7]
    for sampling in (shortened(SEEDED), shortened(PENALISED), shortened(GREEDY)):
        assert write(ahead, follow_up, sampling) == write(fresh, follow_up, sampling)
        assert write(ahead, PROMPT, sampling) == write(fresh, PROMPT, sampling)


def test_whoever_reads_the_answer_may_close_it(model: Any) -> None:
    ahead = OnDevice(model)
    control = Control(SEEDED)
    loop = write_tokens(ahead, PROMPT, control, sampling=SEEDED, context_length=999, end_tokens=())
    tokens = [next(loop) for _ in range(9)]
    loop.close()
    assert ahead._tokens == [*PROMPT, *tokens[:-1]]
    short = shortened(SEEDED)
    assert write(ahead, PROMPT, short) == write(OnDevice(model, is_ahead=False), PROMPT, short)


def test_cancelled_in_mid_answer(model: Any) -> None:
    def cancel(count: int, control: Control) -> None:
        if count == 12:
            control.cancel()

    ahead = OnDevice(model)
    tokens, reason = write(ahead, during=cancel)
    assert reason == "cancelled"
    assert len(tokens) == 12
    assert ahead._tokens == [*PROMPT, *tokens[:-1]]
    short = shortened(SEEDED)
    assert write(ahead, PROMPT, short) == write(OnDevice(model, is_ahead=False), PROMPT, short)


def test_held_in_mid_answer_with_other_settings_afterwards(model: Any) -> None:
    def hold(count: int, control: Control) -> None:
        if count == 10:
            control.hold(0)
        if count == 12:
            control.sampling = PENALISED
            control.hold(2)

    _, items = write_both(model, during=hold)
    assert items[10] is items[16] is Held


class Picky:
    """Masks for a while, and refuses tokens at times."""

    is_in_call = False

    def __init__(self) -> None:
        self.num_refused = 0
        self.num_free = 0
        self._drawn: list[int] = []

    def note(self, token: int) -> None:
        self._drawn.append(token)

    @property
    def is_masking(self) -> bool:
        return 20 <= len(self._drawn) < 30

    def allowed(self, size: int) -> Tensor | None:
        if not self.is_masking:
            self.num_free += 1
            return None
        mask = torch.zeros(size, dtype=torch.bool)
        mask[50 + len(self._drawn) : 60 + len(self._drawn)] = True
        return mask

    def refuses(self, token: int) -> bool:
        is_refused = len(self._drawn) > 2 and token % 3 == 0
        self.num_refused += is_refused
        return is_refused and not self.is_masking

    def closing(self) -> Sequence[int]:
        return (7, 8, 9)


@pytest.mark.parametrize("sampling", [GREEDY, SEEDED, PENALISED])
def test_grammars_and_refusals_are_decided_at_once(model: Any, sampling: Sampling) -> None:
    guides = Picky(), Picky()
    found = []
    for guide, is_ahead in zip(guides, (True, False), strict=True):

        def during(count: int, control: Control, guide: Picky = guide) -> None:
            control.wants_answer = count == 45

        cached = OnDevice(model, is_ahead=is_ahead)
        control = Control(sampling)
        cached.rewind(PROMPT, reproducible=True)
        items: list[object] = []
        for item in write_tokens(
            cached,
            PROMPT,
            control,
            sampling=sampling,
            context_length=2000,
            end_tokens=(),
            guide=guide,
            looks_up=False,
        ):
            items.append(item)
            if isinstance(item, int):
                guide.note(item)
                during(len(guide._drawn), control)
        found.append((items, cached._tokens))
    assert [type(item) for item in found[0][0]] == [type(item) for item in found[1][0]]
    assert [i for i in found[0][0] if isinstance(i, int)] == [
        i for i in found[1][0] if isinstance(i, int)
    ]
    assert found[0][1] == found[1][1]
    cut = next(n for n, item in enumerate(found[0][0]) if isinstance(item, Cut))
    assert found[0][0][cut + 1 : cut + 4] == [7, 8, 9]
    assert guides[0].num_refused > 3
    # Most tokens were never drawn at once.
    assert guides[0].num_free < guides[1].num_free / 2


def test_guesses_from_the_prompt_take_turns_with_steps_ahead(model: Any) -> None:
    repeating = [*PROMPT[:30]] * 3
    for sampling in (
        Sampling(temperature=0, max_tokens=120),
        Sampling(temperature=1.5, top_k=4, top_p=1, seed=2, max_tokens=120),
    ):
        _, tokens = write_both(model, prompt=repeating, sampling=sampling, looks_up=True)
        plain, _ = write(OnDevice(model), repeating, sampling)
        assert tokens == plain


def test_runs_that_may_not_repeat_are_banned_at_once(model: Any) -> None:
    sampling = Sampling(temperature=0.8, no_repeat_ngram_size=2, seed=1, max_tokens=40)
    ahead, _ = write_both(model, sampling=sampling)
    assert ahead.decoder_name == "fused graph"


def records(
    cached: CachedModel, sampling: Sampling
) -> tuple[list[object], tuple[TokenRecord, ...]]:
    texts = TokenTexts(lambda ids: "".join(chr(97 + i % 26) for i in ids), lambda _: [3])
    recorder = Recorder(4, texts)

    def change(count: int, control: Control) -> None:
        if count == 10:
            control.sampling = PENALISED

    items, _ = write(cached, sampling=sampling, recorder=recorder, during=change)
    return items, recorder.take()


def figures(record: TokenRecord) -> list[float]:
    """All numbers of a record, in one row; those of the alternatives by their ids."""
    others = sorted((a.token, a.before, a.after) for a in record.alternatives)
    return [
        *(record.token, record.rank_before, record.rank_after),
        *(record.before, record.after, record.entropy_before, record.entropy_after),
        *(number for alternative in others for number in alternative),
    ]


@pytest.mark.parametrize("sampling", [GREEDY, SEEDED])
def test_the_records_are_the_same_and_none_is_for_what_was_dropped(
    model: Any, sampling: Sampling
) -> None:
    tokens, found = records(OnDevice(model), sampling)
    _, expected = records(OnDevice(model, is_ahead=False), sampling)
    # One is computed by torch in the step, the other by numpy afterwards.
    assert list(map(figures, found)) == [pytest.approx(figures(r), rel=1e-4) for r in expected]
    assert [record.token for record in found] == [item for item in tokens if isinstance(item, int)]


@pytest.mark.parametrize("is_ahead", [True, False])
def test_logits_that_are_no_numbers_end_the_answer_and_spoil_no_other(is_ahead: bool) -> None:
    broken = make_llama()
    expected, _ = write(OnDevice(broken), PROMPT[:40], GREEDY)
    cached, first = OnDevice(broken, is_ahead=is_ahead), PROMPT[:60]
    control = Control(GREEDY)
    loop = write_tokens(cached, first, control, sampling=GREEDY, context_length=999, end_tokens=())
    for _ in range(8):
        next(loop)
    layer: Any = broken.model.layers[0].self_attn.v_proj
    whole = layer.weight.clone()
    with torch.no_grad():
        layer.weight.fill_(torch.nan)  # keys and values are no numbers either
    with pytest.raises(ModelError, match="overflowed"):
        list(loop)
    with torch.no_grad():
        layer.weight.copy_(whole)
    # What is masked is read too, and multiplied by nothing.
    assert write(cached, PROMPT[:40], GREEDY)[0] == expected


def test_what_cannot_be_captured_is_launched_ahead_all_the_same(
    model: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(step: Step) -> Step:
        step()
        raise RuntimeError("operation not permitted when stream is capturing")

    refused = OnDevice(model, capture=refuse)
    assert write(refused) == write(OnDevice(model, is_ahead=False))
    assert refused.decoder_name == "fused"
    assert "not captured as a graph" in capsys.readouterr().err


def test_the_stand_in_refuses_what_waits_for_a_gpu() -> None:
    numbers, one = torch.arange(5), torch.tensor(2)
    for wait in (
        lambda: numbers[one],
        lambda: numbers[numbers > 2],
        lambda: numbers.new_tensor([3]),
        lambda: bool(one > 1),
    ):
        with NoWaiting(), pytest.raises(RuntimeError, match="capturing"):
            wait()
    with NoWaiting():
        assert numbers[one[None]].shape == (1,)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_and_its_draw_fetch_nothing_and_stay_on_their_device(family: str) -> None:
    # Tensors of this device have no numbers, and mix with none of another.
    device = torch.device("meta")
    model = FAMILIES[family]().to(device, torch.bfloat16).eval()
    decoder = OnDevice(model)._make_decoder()
    decoder.read(PROMPT[:40], 0, lambda: False)
    run = DrawingRun(model.config.vocab_size, device, None)
    run.use(SEEDED)
    draw = run.step_draw(5)
    with NoWaiting():
        decoder.read_and_draw(draw, 40, 7)
        decoder.read_and_draw(draw, 41, None)
        assert run.run().device == draw.results.device == device


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("sampling", [GREEDY, SEEDED, PENALISED])
def test_a_real_graph_writes_the_answers_of_steps_that_wait(
    dtype: torch.dtype, sampling: Sampling
) -> None:
    model = make_llama().to("cuda", dtype)

    class AtOnce(CachedModel):
        def pipeline(self, sampler: Sampler, num_facts: int) -> None:
            return None

    ahead, at_once = CachedModel(model), AtOnce(model)
    for cached in (ahead, at_once):
        assert isinstance(cached._decoder, StaticDecoder)
        assert isinstance(cached._decoder._graphs.capture, CudaCapture)
    for prompt in (PROMPT, PROMPT[:100], [PROMPT[n % 250] for n in range(1000)]):
        assert write(ahead, prompt, sampling) == write(at_once, prompt, sampling)
        assert ahead.decoder_name == "fused graph"
    assert records(ahead, sampling)[0] == records(at_once, sampling)[0]


@pytest.mark.gpu
def test_a_real_capture_refuses_what_waits_and_goes_on() -> None:
    numbers, one = torch.arange(5, device="cuda"), torch.tensor(2, device="cuda")
    capture = CudaCapture()
    before = torch.cuda.current_stream()
    with pytest.raises(RuntimeError):
        capture(lambda: numbers[one])
    assert torch.cuda.current_stream() == before
    assert torch.cuda.get_sync_debug_mode() == 0
    replay = capture(lambda: numbers * 2)
    numbers.fill_(4)
    assert replay().tolist() == [8] * 5
