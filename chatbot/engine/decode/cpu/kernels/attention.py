"""Attention of a few tokens to all that was read, which is cut into chunks that threads share.

Each part reads the keys and values of one chunk once, for all heads that share them; what the
chunks come to is put together at the end (Flash-Decoding, Dao et al. 2023). Where chunks begin
depends on nothing but a token's place, so that several tokens at once come to what each of them
does alone, to the last bit. All is compiled code.
"""

from functools import partial
from typing import Any, Final

import numba
from numpy import float32, int32, uint32

from chatbot.engine.compiled import (
    called,
    called_fast,
    exp,
    floats_at,
    inlined,
    shorts_at,
    whole_numbers_at,
)
from chatbot.engine.decode.cpu.kernels.attention_vectors import (
    MOST_TOKENS,
    MOST_VECTORS,
    scores,
    weighted_sums,
)
from chatbot.engine.decode.cpu.kernels.between_products import widened
from chatbot.engine.decode.cpu.kernels.forms import Form
from chatbot.engine.decode.cpu.kernels.vectors import MOST_ROWS, WIDTH, by_number

CHUNK: Final = 128
"""Tokens. Their keys and values stay in a core's cache from one new token to the next."""

_AHEAD: Final = 2
"""Before the sums of a chunk's values stand the largest score and the sum of all weights."""


def room_for(num_heads: int, num_kv_heads: int) -> int:
    """Numbers that a thread needs room for: the weights of a chunk."""
    return num_heads // num_kv_heads * CHUNK


def num_partial_sums(num_rows: int, num_heads: int, head_size: int, num_tokens: int) -> int:
    """Numbers that all chunks come to, of so many new tokens, the last of which sees
    ``num_tokens``."""
    return num_rows * num_heads * -(-num_tokens // CHUNK) * (head_size + _AHEAD)


@inlined  # type: ignore[untyped-decorator]
def _in_order(bits: Any) -> Any:
    """Those of a number in fp32 as a whole number, which is the larger the larger it is; and of
    such a whole number those of the number."""
    signed = int32(bits)
    return int32(signed ^ int32(int32(signed >> int32(31)) & int32(0x7FFFFFFF)))


@inlined  # type: ignore[untyped-decorator]
def largest_of(address: Any, number: Any, least: Any) -> Any:
    """The largest of numbers in fp32, and of ``least``.

    Found by whole numbers: LLVM compares floats one after the other, lest one should be none.
    """
    bits = numba.carray(whole_numbers_at(address), (number,))
    largest = _in_order(float32(least).view(uint32))
    for index in range(number):
        largest = max(largest, _in_order(bits[index]))
    return uint32(_in_order(largest)).view(float32)


@called_fast  # type: ignore[untyped-decorator]
def bend(scores: Any, number: Any, bound: Any) -> None:
    """Bend scores towards ``bound``, by a tanh."""
    numbers, double = numba.carray(floats_at(scores), (number,)), float32(2) / bound
    for token in range(number):
        numbers[token] = bound - float32(2) * bound / (float32(1) + exp(double * numbers[token]))


@called_fast  # type: ignore[untyped-decorator]
def _soften(weights: Any, num_tokens: Any, scale: Any) -> Any:
    """Make scores into weights, of which the largest is 1.

    Returns:
        The largest score, and the sum of the weights.
    """
    numbers = numba.carray(floats_at(weights), (num_tokens,))
    largest = largest_of(weights, num_tokens, numbers[0])
    total = float32(0)
    for token in range(num_tokens):
        weight = exp((numbers[token] - largest) * scale)
        numbers[token] = weight
        total += weight
    return largest * scale, total


def _chunk_of(form: Form) -> Any:
    """What reads a chunk for one new token, with keys and values in ``form``."""
    score_one = by_number(partial(scores, form, 1))
    score_several = by_number(partial(scores, form, MOST_TOKENS))
    sum_one = by_number(partial(weighted_sums, form, 1))
    sum_several = by_number(partial(weighted_sums, form, MOST_VECTORS))
    kept_at, kept_size = (floats_at, 4) if form == Form.FP32 else (shorts_at, 2)
    most_tokens, most_vectors, vector_size = MOST_TOKENS, MOST_VECTORS, kept_size * WIDTH

    @inlined  # type: ignore[untyped-decorator]
    def score(
        num_heads: Any, keys: Any, key_size: Any, queries: Any, weights: Any, size: Any, end: Any
    ) -> None:
        """The scores of ``end`` tokens, by the first ``size`` numbers of each head."""
        query_size, line = 2 * key_size if kept_size == 2 else key_size, 4 * CHUNK
        token = 0
        while token < end:
            key, out = keys + token * key_size, weights + 4 * token
            if end - token >= most_tokens:
                score_several(num_heads, key, key_size, queries, query_size, out, line, size)
                token += most_tokens
            else:
                score_one(num_heads, key, key_size, queries, query_size, out, line, size)
                token += 1

    @inlined  # type: ignore[untyped-decorator]
    def add_up(
        num_heads: Any,
        values: Any,
        value_size: Any,
        weights: Any,
        out: Any,
        line: Any,
        vectors: Any,
        end: Any,
    ) -> None:
        """The sums of the first ``vectors`` vectors of the values of ``end`` tokens."""
        size, left = 4 * CHUNK, vectors
        while left > 0:
            if left >= most_vectors:
                sum_several(num_heads, values, value_size, weights, size, out, line, end)
                done = most_vectors
            else:
                sum_one(num_heads, values, value_size, weights, size, out, line, end)
                done = 1
            values += done * vector_size
            out += done * 4 * WIDTH
            left -= done

    @inlined  # type: ignore[untyped-decorator]
    def score_rest(keys: Any, query: Any, weights: Any, first: Any, size: Any, end: Any) -> None:
        """Add what the numbers of one head from ``first`` on, which fill no vector, come to."""
        asked, scored = floats_at(query), floats_at(weights)
        for token in range(end):
            key = kept_at(keys + token * size * kept_size)
            for i in range(first, size):
                scored[token] += asked[i] * widened(key[i])

    @inlined  # type: ignore[untyped-decorator]
    def add_up_rest(values: Any, weights: Any, out: Any, first: Any, size: Any, end: Any) -> None:
        """The sums of the numbers from ``first`` on, for one head."""
        weight, sums = floats_at(weights), floats_at(out)
        for i in range(first, size):
            total = float32(0)
            for token in range(end):
                total += weight[token] * widened(kept_at(values + token * size * kept_size)[i])
            sums[i] = total

    @called  # type: ignore[untyped-decorator]
    def chunk(
        about: Any, keys: Any, values: Any, queries: Any, sums: Any, weights: Any, end: Any
    ) -> None:
        size, num_heads = about.head_size, about.num_heads // about.num_kv_heads
        vectors, line = size // WIDTH, about.num_chunks * 4 * (size + _AHEAD)
        whole = vectors * WIDTH
        for head in range(0, num_heads, MOST_ROWS):
            number = min(num_heads - head, MOST_ROWS)
            asked, own = queries + 4 * size * head, weights + 4 * CHUNK * head
            score(number, keys, kept_size * size, asked, own, whole, end)
        for head in range(num_heads):
            own, first = weights + 4 * CHUNK * head, sums + line * head
            if whole < size:
                score_rest(keys, queries + 4 * size * head, own, whole, size, end)
            if about.bound != 0:  # of scores that are not scaled yet
                bend(own, end, float32(about.bound / about.scale))
            largest, total = _soften(own, end, float32(about.scale))
            ahead = floats_at(first)
            ahead[0] = largest
            ahead[1] = total
            if whole < size:
                add_up_rest(values, own, first + 4 * _AHEAD, whole, size, end)
        for head in range(0, num_heads, MOST_ROWS):
            number = min(num_heads - head, MOST_ROWS)
            own, out = weights + 4 * CHUNK * head, sums + line * head + 4 * _AHEAD
            add_up(number, values, kept_size * size, own, out, line, vectors, end)

    return chunk


_chunk_bf16, _chunk_fp32 = _chunk_of(Form.BF16), _chunk_of(Form.FP32)


@inlined  # type: ignore[untyped-decorator]
def _num_seen(about: Any, row: Any) -> Any:
    """How many tokens a new one sees, itself among them."""
    return about.start + 1 + (row if about.num_texts == 1 else 0)


@inlined  # type: ignore[untyped-decorator]
def first_seen(num_before: Any, window: Any) -> Any:
    """The first token that the last of ``num_before`` sees; a window of 0 is none."""
    return max(num_before - window, 0) if window else 0


@inlined  # type: ignore[untyped-decorator]
def cut_attention(about: Any) -> Any:
    """How many parts there are, of one chunk and one head of keys in each of the texts."""
    about.first_chunk = first_seen(_num_seen(about, 0), about.window) // CHUNK
    about.num_chunks = -(-_num_seen(about, about.num_rows - 1) // CHUNK) - about.first_chunk
    return about.num_texts * about.num_kv_heads * about.num_chunks


@inlined  # type: ignore[untyped-decorator]
def do_attention_part(about: Any, number: Any, thread: Any) -> None:
    """Read one chunk, for all new tokens that see it."""
    place, chunk = divmod(number, about.num_chunks)
    text, kv_head = divmod(place, about.num_kv_heads)
    is_bf16 = about.kept_form == Form.BF16.value
    shared, size = about.num_heads // about.num_kv_heads, about.head_size
    chunk_start = (about.first_chunk + chunk) * CHUNK
    token_size = size * (2 if is_bf16 else 4)
    weights = about.room + thread * about.room_size
    first_row, end_row = (0, about.num_rows) if about.num_texts == 1 else (text, text + 1)
    for row in range(first_row, end_row):
        num_seen = _num_seen(about, row)
        start = max(first_seen(num_seen, about.window), chunk_start)
        end = min(num_seen, chunk_start + CHUNK) - start
        if end <= 0:
            continue
        first = (place * about.capacity + start) * token_size
        head = row * about.num_heads + kv_head * shared
        queries = about.source + 4 * size * head
        sums = about.partial_sums + 4 * (size + _AHEAD) * (head * about.num_chunks + chunk)
        if is_bf16:
            _chunk_bf16(
                about, about.keys + first, about.values + first, queries, sums, weights, end
            )
        else:
            _chunk_fp32(
                about, about.keys + first, about.values + first, queries, sums, weights, end
            )


@called_fast  # type: ignore[untyped-decorator]
def put_together(about: Any) -> None:
    """Make what the chunks came to into [new tokens, heads * size], at ``target``."""
    size, num_heads = about.head_size, about.num_heads
    for row in range(about.num_rows):
        num_seen = _num_seen(about, row)
        first_own = first_seen(num_seen, about.window) // CHUNK - about.first_chunk
        num_own = -(-num_seen // CHUNK) - about.first_chunk - first_own
        for head in range(num_heads):
            place = (row * num_heads + head) * about.num_chunks + first_own
            first = place * (size + _AHEAD)
            shape = (num_own, size + _AHEAD)
            chunks = numba.carray(floats_at(about.partial_sums + 4 * first), shape)
            place = about.target + 4 * (row * about.target_size + head * size)
            target = numba.carray(floats_at(place), (size,))
            largest, total = chunks[0, 0], float32(0)
            for number in range(1, num_own):
                largest = max(largest, chunks[number, 0])
            target[:] = 0
            for number in range(num_own):
                factor = exp(chunks[number, 0] - largest)
                total += factor * chunks[number, 1]
                for i in range(size):
                    target[i] += factor * chunks[number, _AHEAD + i]
            for i in range(size):
                target[i] /= total
