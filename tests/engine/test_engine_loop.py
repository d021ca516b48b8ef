"""The token loop and the cache, on tiny models with random weights."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from chatbot.engine.inbox import Control
from chatbot.engine.kv_cache import NUM_APART, CachedModel
from chatbot.engine.token_loop import write_tokens
from chatbot.settings import Sampling

GREEDY = Sampling(temperature=0, max_tokens=24)
PROMPT = [(7 * n) % 390 + 3 for n in range(300)]


def write(
    cached: CachedModel,
    prompt: list[int],
    sampling: Sampling = GREEDY,
    *,
    context_length: int = 1024,
    end_tokens: frozenset[int] = frozenset(),
    during: Callable[[int, Control], None] = lambda count, control: None,
) -> tuple[list[int], list[Sampling], str]:
    """One answer: its tokens, the changes of its settings, and why it ended."""
    control = Control(sampling)
    cached.rewind(prompt, reproducible=sampling.seed is not None)
    loop = write_tokens(
        cached,
        prompt,
        control,
        sampling=sampling,
        context_length=context_length,
        end_tokens=end_tokens,
    )
    tokens: list[int] = []
    changes: list[Sampling] = []
    while True:
        try:
            item = next(loop)
        except StopIteration as end:
            return tokens, changes, end.value
        if isinstance(item, int):
            tokens.append(item)
            during(len(tokens), control)
        else:
            changes.append(item)


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_greedy_equals_generate(name: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(name)
    for length in (1, 2, 127, 128, 129, 150):
        prompt = PROMPT[:length]
        tokens, _, reason = write(CachedModel(model), prompt)
        expected = model.generate(
            torch.tensor([prompt]), max_new_tokens=24, do_sample=False, eos_token_id=None
        )
        assert tokens == expected[0, length:].tolist()
        assert reason == "length"


def test_penalties_equal_generate(llama: Any) -> None:
    sampling = Sampling(
        temperature=0, max_tokens=30, repetition_penalty=1.3, no_repeat_ngram_size=2
    )
    tokens, _, _ = write(CachedModel(llama), PROMPT[:20], sampling)
    expected = llama.generate(
        torch.tensor([PROMPT[:20]]),
        max_new_tokens=30,
        do_sample=False,
        eos_token_id=None,
        repetition_penalty=1.3,
        no_repeat_ngram_size=2,
    )
    assert tokens == expected[0, 20:].tolist()


def test_an_end_token_ends_the_answer(llama: Any) -> None:
    all_tokens, _, _ = write(CachedModel(llama), PROMPT)
    end = all_tokens[5]
    tokens, _, reason = write(CachedModel(llama), PROMPT, end_tokens=frozenset({end}))
    assert tokens == all_tokens[: all_tokens.index(end) + 1]
    assert reason == "stop"


def test_the_context_window_ends_the_answer(llama: Any) -> None:
    tokens, _, reason = write(CachedModel(llama), PROMPT, context_length=len(PROMPT) + 3)
    assert len(tokens) == 3
    assert reason == "length"


def test_changed_settings_act_on_the_next_token(llama: Any) -> None:
    cold = Sampling(temperature=0, max_tokens=20)
    hot = Sampling(temperature=2, top_k=0, top_p=1, max_tokens=20, seed=1)

    def change(count: int, control: Control) -> None:
        if count == 5:
            control.sampling = hot

    greedy, _, _ = write(CachedModel(llama), PROMPT, cold)
    tokens, changes, _ = write(CachedModel(llama), PROMPT, cold, during=change)
    assert tokens[:5] == greedy[:5]
    assert tokens[5:] != greedy[5:]
    assert changes == [hot]


def test_the_longest_length_may_change_too(llama: Any) -> None:
    def shorten(count: int, control: Control) -> None:
        if count == 4:
            control.sampling = Sampling(temperature=0, max_tokens=6)

    tokens, changes, reason = write(CachedModel(llama), PROMPT, during=shorten)
    assert len(tokens) == 6
    assert len(changes) == 1
    assert reason == "length"


def test_cancel_between_two_tokens(llama: Any) -> None:
    def cancel(count: int, control: Control) -> None:
        control.is_cancelled = count == 3

    tokens, _, reason = write(CachedModel(llama), PROMPT, during=cancel)
    assert len(tokens) == 3
    assert reason == "cancelled"


class CancelledAfter(Control):
    """A control that is asked so many times and then says to stop."""

    def __init__(self, sampling: Sampling, num_asked: int) -> None:
        self._num_left = num_asked
        super().__init__(sampling)

    @property
    def is_cancelled(self) -> bool:
        self._num_left -= 1
        return self._num_left < 0

    @is_cancelled.setter
    def is_cancelled(self, value: bool) -> None:
        pass


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_cancel_within_a_block_of_the_prompt_keeps_the_blocks_before(
    name: str, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(name)
    cached = CachedModel(model)
    cached.block_size = 128
    prompt = PROMPT[:200]  # two layers are asked before for each of its two blocks
    loop = write_tokens(
        cached,
        prompt,
        CancelledAfter(GREEDY, 3),
        sampling=GREEDY,
        context_length=1024,
        end_tokens=(),
    )
    with pytest.raises(StopIteration) as end:
        next(loop)
    assert end.value.value == "cancelled"
    assert cached.num_tokens == 128
    resumed, _, _ = write(cached, prompt)
    fresh, _, _ = write(CachedModel(model), prompt)
    assert resumed == fresh


def test_a_reused_prefix_changes_nothing_in_fp32(llama: Any) -> None:
    cached = CachedModel(llama)
    answer, _, _ = write(cached, PROMPT)
    follow_up = [*PROMPT, *answer, *PROMPT[:30]]
    assert cached.rewind(follow_up, reproducible=False) == len(PROMPT) + len(answer) - 1
    warm, _, _ = write(cached, follow_up)
    cold, _, _ = write(CachedModel(llama), follow_up)
    assert warm == cold


def test_a_prompt_that_turns_off_keeps_what_is_common(llama: Any) -> None:
    cached = CachedModel(llama)
    write(cached, PROMPT)
    other = [*PROMPT[:100], 5, 6, 7]
    assert cached.rewind(other, reproducible=False) == 100
    warm, _, _ = write(cached, other)
    cold, _, _ = write(CachedModel(llama), other)
    assert warm == cold


def test_the_same_prompt_again_still_reads_its_last_token(llama: Any) -> None:
    cached = CachedModel(llama)
    first, _, _ = write(cached, PROMPT)
    assert cached.rewind(PROMPT, reproducible=False) == len(PROMPT) - 1
    again, _, _ = write(cached, PROMPT)
    assert again == first


@pytest.fixture(scope="module")
def bf16_llama(llama: Any) -> Any:
    import copy

    from chatbot.engine.cpu_precision import widen_attention

    model = copy.deepcopy(llama).to(torch.bfloat16)
    widen_attention(model)
    return model


@pytest.mark.parametrize("length", [5, 128, 150, 256])
def test_a_seeded_answer_does_not_depend_on_the_cache(bf16_llama: Any, length: int) -> None:
    seeded = Sampling(temperature=1.5, top_k=0, top_p=1, seed=3, max_tokens=40)
    prompt = PROMPT[:length]
    cold, _, _ = write(CachedModel(bf16_llama), prompt, seeded)
    cached = CachedModel(bf16_llama)
    for before in (PROMPT, [*PROMPT[:70], 9], prompt[:-1], prompt, [*prompt, 4, 5]):
        write(cached, before, Sampling(temperature=1, max_tokens=9))
        warm, _, _ = write(cached, prompt, seeded)
        assert warm == cold


def test_a_seeded_answer_reuses_whole_blocks_alone(llama: Any) -> None:
    """Where it matters how many tokens are read at a time."""
    cached = CachedModel(llama)
    block = cached._least = cached.block_size
    write(cached, PROMPT)
    assert cached.rewind(PROMPT, reproducible=True) == len(PROMPT) // block * block
    write(cached, PROMPT[: 2 * block])
    assert cached.rewind(PROMPT[: 2 * block], reproducible=True) == block
    # Tokens that were read one by one are never part of a block.
    write(cached, PROMPT[:10], Sampling(temperature=0, max_tokens=2 * block))
    longer = [*cached._tokens, 5]
    assert cached.rewind(longer, reproducible=True) == 0


def test_a_failed_step_leaves_an_empty_cache(llama: Any) -> None:
    cached = CachedModel(llama)
    write(cached, PROMPT)
    with pytest.raises(IndexError):
        cached.read([10**6])  # no such token
    assert cached.num_tokens == 0
    again, _, _ = write(cached, PROMPT)
    fresh, _, _ = write(CachedModel(llama), PROMPT)
    assert again == fresh


def make_sliding(window: int) -> Any:
    """A model of another build whose layers look back over ``window`` tokens."""
    from transformers import Starcoder2Config, Starcoder2ForCausalLM

    torch.manual_seed(0)
    config = Starcoder2Config(
        vocab_size=400,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=window,
    )
    return Starcoder2ForCausalLM(config).eval()


def test_what_is_within_the_window_is_not_read_again() -> None:
    model = make_sliding(128)
    cached = CachedModel(model)
    tokens, _, _ = write(cached, PROMPT[:40])
    for prompt in (
        [*PROMPT[:40], *tokens, *PROMPT[60:80]],  # the next turn of a chat
        [*PROMPT[:40], *tokens[:10], *PROMPT[90:130]],  # another one, which begins as it does
    ):
        assert cached.rewind(prompt, reproducible=False) >= 40
        again, _, _ = write(cached, prompt)
        expected = model.generate(
            torch.tensor([prompt]), max_new_tokens=24, do_sample=False, eos_token_id=None
        )
        assert again == expected[0, len(prompt) :].tolist()
    assert cached.num_tokens < 128
    tokens, _, _ = write(cached, PROMPT[:110])
    assert cached.num_tokens > 128
    assert cached.rewind(PROMPT[:110], reproducible=False) == 110 - NUM_APART
    assert cached.decoder_name == "transformers"


def test_layers_that_were_copied_nowhere_start_afresh() -> None:
    model = make_sliding(16)
    cached = CachedModel(model)
    write(cached, PROMPT)
    assert cached.rewind(PROMPT[:100], reproducible=False) == 0
    again, _, _ = write(cached, PROMPT[:100])
    expected = model.generate(
        torch.tensor([PROMPT[:100]]), max_new_tokens=24, do_sample=False, eos_token_id=None
    )
    assert again == expected[0, 100:].tolist()


def test_widened_products_are_close_to_exact_ones(llama: Any, bf16_llama: Any) -> None:
    prompt = torch.tensor([PROMPT])
    with torch.inference_mode():
        exact, widened = llama(prompt).logits[0, -1], bf16_llama(prompt).logits[0, -1].float()
    assert torch.corrcoef(torch.stack([exact, widened]))[0, 1] > 0.98
