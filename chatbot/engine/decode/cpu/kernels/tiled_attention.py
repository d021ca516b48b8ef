"""Attention of many new tokens, in tiles that stay in a core's cache (FlashAttention, Dao et al.
2022).

A tile is some of the new tokens, by all heads that share their keys; it goes through the keys and
values of all tokens that they see, a chunk at a time. Where chunks begin depends on nothing but a
token's place, and each token's numbers are added up by themselves: what it comes to is the same to
the last bit, whichever tokens are read together with it, as long as all are finite. All is compiled
code.
"""

from typing import Any, Final

import numba
from numba.extending import register_jitable
from numpy import float32

from chatbot.engine.compiled import called_fast, exp, floats_at, inlined
from chatbot.engine.decode.cpu.kernels.attention import CHUNK, bend, first_seen, largest_of
from chatbot.engine.decode.cpu.kernels.attention_panels import (
    add_up,
    filled_rows,
    filled_size,
    narrow,
    pack,
    score,
)
from chatbot.engine.decode.cpu.kernels.products import NUM_LOOKS_OF_MANY
from chatbot.engine.decode.cpu.kernels.shared_work import PATIENCE

_TILE_NUMBERS: Final = 12_288
"""Of the queries of a tile: with all that belongs to them, half of a core's cache of 512 KiB where
heads have 64 or 128 numbers."""

_UNSEEN: Final = -3e38


@register_jitable  # type: ignore[untyped-decorator]
def _tile_rows(num_shared: Any, size: Any) -> Any:
    """How many new tokens are in a tile."""
    return max(_TILE_NUMBERS // (num_shared * size), 1)


def room_for_tile(num_heads: int, num_kv_heads: int, head_size: int) -> int:
    """Numbers in fp32 that a thread needs room for."""
    num_shared = num_heads // num_kv_heads
    num_queries = int(filled_rows(num_shared * _tile_rows(num_shared, head_size)))
    filled = int(filled_size(head_size))
    return num_queries * (head_size + CHUNK + filled + 2) + CHUNK * (head_size + filled)


@inlined  # type: ignore[untyped-decorator]
def cut_tiles(about: Any, work: Any) -> Any:
    """How many parts there are: of each tile, one for each head of keys."""
    work[PATIENCE] = NUM_LOOKS_OF_MANY
    about.part = _tile_rows(about.num_heads // about.num_kv_heads, about.head_size)
    return -(-about.num_rows // about.part) * about.num_kv_heads


@called_fast  # type: ignore[untyped-decorator]
def _soften(scores: Any, first: Any, end: Any, so_far: Any, sums: Any, size: Any) -> None:
    """Make the scores of a query into weights, of which the largest so far is 1.

    Args:
        scores: the address of those of a chunk.
        first: the first of the chunk's tokens that it sees.
        end: behind the last one; where it sees none, all weights are 0.
        so_far: the address of the largest score and the sum of all weights.
        sums: the address of the sums of values, which are set against the largest as well.
        size: how many these are.
    """
    numbers, known = numba.carray(floats_at(scores), (CHUNK,)), floats_at(so_far)
    if first >= end:
        for token in range(CHUNK):
            numbers[token] = 0
        return
    for token in range(first):
        numbers[token] = float32(_UNSEEN)
    for token in range(end, CHUNK):
        numbers[token] = float32(_UNSEEN)
    before = known[0]
    largest = largest_of(scores, CHUNK, before)
    total = float32(0)
    for token in range(CHUNK):
        weight = exp(numbers[token] - largest)
        numbers[token] = weight
        total += weight
    for token in range(first):
        numbers[token] = 0
    for token in range(end, CHUNK):
        numbers[token] = 0
    if largest > before:
        factor = exp(before - largest)
        known[0] = largest
        known[1] *= factor
        own = numba.carray(floats_at(sums), (size,))
        for i in range(size):
            own[i] *= factor
    known[1] += total


@called_fast  # type: ignore[untyped-decorator]
def _begin(about: Any, first: Any, num_tokens: Any, queries: Any, sums: Any, so_far: Any) -> None:
    """Gather the queries of a tile, times the scale, and have nothing summed up."""
    size, num_shared = about.head_size, about.num_heads // about.num_kv_heads
    num_filled = filled_rows(num_tokens * num_shared)
    gathered = numba.carray(floats_at(queries), (num_filled, size))
    scale = float32(about.scale)
    for token in range(num_tokens):
        source = first + 4 * token * about.num_heads * size
        own = numba.carray(floats_at(source), (num_shared, size))
        for head in range(num_shared):
            for i in range(size):
                gathered[token * num_shared + head, i] = own[head, i] * scale
    for query in range(num_tokens * num_shared, num_filled):
        for i in range(size):
            gathered[query, i] = 0
    all_sums = numba.carray(floats_at(sums), (num_filled * filled_size(size),))
    for place in range(num_filled * filled_size(size)):
        all_sums[place] = 0
    known = numba.carray(floats_at(so_far), (num_filled, 2))
    for query in range(num_filled):
        known[query, 0] = float32(_UNSEEN)
        known[query, 1] = 0


@called_fast  # type: ignore[untyped-decorator]
def _end(about: Any, target: Any, num_tokens: Any, sums: Any, so_far: Any) -> None:
    """Write what the tile comes to, one head of a token behind the other."""
    size, num_shared = about.head_size, about.num_heads // about.num_kv_heads
    filled = filled_size(size)
    for token in range(num_tokens):
        place = target + 4 * token * about.target_size
        out = numba.carray(floats_at(place), (num_shared, size))
        for head in range(num_shared):
            query = token * num_shared + head
            own = numba.carray(floats_at(sums + 4 * query * filled), (size,))
            total = floats_at(so_far + 8 * query)[1]
            for i in range(size):
                out[head, i] = own[i] / total


@inlined  # type: ignore[untyped-decorator]
def do_tile_part(about: Any, number: Any, thread: Any) -> None:
    """Make one tile for one head of keys; those that see the most come first."""
    tile, kv_head = divmod(number, about.num_kv_heads)
    size, num_shared = about.head_size, about.num_heads // about.num_kv_heads
    first_token = tile * about.part
    num_tokens = min(about.num_rows - first_token, about.part)
    num_filled = filled_rows(num_tokens * num_shared)
    queries = about.room + thread * about.room_size
    keys = queries + 4 * num_filled * size
    values = keys + 4 * CHUNK * size
    scores = values + 4 * CHUNK * filled_size(size)
    sums = scores + 4 * CHUNK * num_filled
    so_far = sums + 4 * num_filled * filled_size(size)
    head = kv_head * num_shared * size
    source = about.source + 4 * (first_token * about.num_heads * size + head)
    _begin(about, source, num_tokens, queries, sums, so_far)
    for query in range(num_filled):
        narrow(about, queries + 4 * size * query, size)
    num_seen = about.start + first_token + num_tokens
    first = first_seen(about.start + first_token + 1, about.window) // CHUNK * CHUNK
    for chunk in range(first, num_seen, CHUNK):
        end = min(num_seen - chunk, CHUNK)
        place = (kv_head * about.capacity + chunk) * size
        pack(about, place, end, keys, values)
        score(about, queries, num_filled, keys, scores, end)
        for query in range(num_filled):
            seen = about.start + first_token + query // num_shared + 1
            own, own_sums = scores + 4 * CHUNK * query, sums + 4 * filled_size(size) * query
            own_first = max(first_seen(seen, about.window) - chunk, 0)
            own_end = min(seen - chunk, end)
            if about.bound != 0 and own_first < own_end:
                bend(own + 4 * own_first, own_end - own_first, float32(about.bound))
            _soften(own, own_first, own_end, so_far + 8 * query, own_sums, filled_size(size))
            narrow(about, own, CHUNK)
        add_up(about, scores, num_filled, values, sums, end)
    target = about.target + 4 * (first_token * about.target_size + head)
    _end(about, target, num_tokens, sums, so_far)
