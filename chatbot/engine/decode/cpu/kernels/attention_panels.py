"""Queries, keys and values of a tile of attention, gone through a panel of vectors at a time.

In fp32; or, where the processor adds up pairs of products in bf16, in such pairs, if that is how
keys and values are kept. All is compiled code.
"""

from typing import Any, Final

import numba
from numba.extending import register_jitable
from numpy import uint32

from chatbot.engine.compiled import called, floats_at, inlined, shorts_at, whole_numbers_at
from chatbot.engine.decode.cpu.kernels.attention import CHUNK
from chatbot.engine.decode.cpu.kernels.attention_vectors import weighted_sums
from chatbot.engine.decode.cpu.kernels.between_products import widened
from chatbot.engine.decode.cpu.kernels.forms import Form
from chatbot.engine.decode.cpu.kernels.product_vectors import shorten
from chatbot.engine.decode.cpu.kernels.vectors import HAS_PAIRS, WIDTH

PANEL: Final = 2 * WIDTH
"""Keys, or numbers of a value, that are gone through at a time."""

ROWS: Final = 6
"""Queries at a time: as many as there are registers of AVX2 for. Those of a tile are filled up to a
multiple of it."""


@register_jitable  # type: ignore[untyped-decorator]
def filled_size(size: Any) -> Any:
    """Numbers of a value, with those that fill the last panel."""
    return -(-size // PANEL) * PANEL


@register_jitable  # type: ignore[untyped-decorator]
def filled_rows(num_queries: Any) -> Any:
    """Queries, with those that fill the last rows."""
    return -(-num_queries // ROWS) * ROWS


def _packed_by(kept_at: Any, kept_size: int) -> Any:
    """What makes a chunk of keys and values, kept in one form, into panels in fp32."""

    @called  # type: ignore[untyped-decorator]
    def pack(keys: Any, values: Any, size: Any, end: Any, packed: Any, packed_values: Any) -> None:
        """Of the keys [panels, size, tokens], of the values [panels, tokens, numbers]."""
        filled = filled_size(size)
        targets = numba.carray(floats_at(packed), (CHUNK // PANEL, size, PANEL))
        for token in range(end):
            key = kept_at(keys + token * size * kept_size)
            panel, column = token // PANEL, token % PANEL
            for i in range(size):
                targets[panel, i, column] = widened(key[i])
        wanted = numba.carray(floats_at(packed_values), (filled // PANEL, CHUNK, PANEL))
        for panel in range(filled // PANEL):
            number = min(size - panel * PANEL, PANEL)
            for token in range(end):
                value = kept_at(values + (token * size + panel * PANEL) * kept_size)
                for i in range(number):
                    wanted[panel, token, i] = widened(value[i])
                for i in range(number, PANEL):
                    wanted[panel, token, i] = 0

    return pack


_pack_bf16, _pack_fp32 = _packed_by(shorts_at, 2), _packed_by(floats_at, 4)


@called  # type: ignore[untyped-decorator]
def _pack_pairs(
    keys: Any, values: Any, size: Any, end: Any, packed: Any, packed_values: Any
) -> None:
    """The same in bf16: pairs of a key's numbers [panels, size / 2, tokens], and of the values of
    two tokens [panels, tokens / 2, numbers]."""
    filled, num_pairs = filled_size(size), size // 2
    targets = numba.carray(whole_numbers_at(packed), (CHUNK // PANEL, num_pairs, PANEL))
    for token in range(end):
        key = whole_numbers_at(keys + token * size * 2)
        panel, column = token // PANEL, token % PANEL
        for i in range(num_pairs):
            targets[panel, i, column] = key[i]
    shape = filled // PANEL, CHUNK // 2, PANEL
    wanted = numba.carray(whole_numbers_at(packed_values), shape)
    for panel in range(filled // PANEL):
        number = min(size - panel * PANEL, PANEL)
        for pair in range(-(-end // 2)):
            place = values + (2 * pair * size + panel * PANEL) * 2
            first, second = shorts_at(place), shorts_at(place + 2 * size)
            if 2 * pair + 1 < end:
                for i in range(number):
                    wanted[panel, pair, i] = uint32(first[i]) | uint32(second[i]) << uint32(16)
            else:
                for i in range(number):
                    wanted[panel, pair, i] = uint32(first[i])
            for i in range(number, PANEL):
                wanted[panel, pair, i] = 0


def _by_panels(in_pairs: bool) -> tuple[Any, Any]:
    """What makes scores of queries, and what adds up values."""
    score_rows = weighted_sums(Form.FP32, 2, ROWS, in_pairs=in_pairs)
    add_rows = weighted_sums(Form.FP32, 2, ROWS, goes_on=True, in_pairs=in_pairs)
    together = 2 if in_pairs else 1

    @called  # type: ignore[untyped-decorator]
    def score(queries: Any, num_queries: Any, size: Any, keys: Any, scores: Any, end: Any) -> None:
        line, width, num = 4 * CHUNK, 4 * PANEL, size // together
        for panel in range(-(-end // PANEL)):
            own, out = keys + panel * num * width, scores + panel * width
            for row in range(0, num_queries, ROWS):
                asked = queries + row * 4 * size
                score_rows(own, width, asked, 4 * size, out + row * line, line, num)

    @called  # type: ignore[untyped-decorator]
    def add_up(weights: Any, num_queries: Any, size: Any, values: Any, sums: Any, end: Any) -> None:
        line, width, sum_size = 4 * CHUNK, 4 * PANEL, 4 * filled_size(size)
        num = -(-end // together)
        for panel in range(sum_size // width):
            own, out = values + panel * CHUNK // together * width, sums + panel * width
            for row in range(0, num_queries, ROWS):
                asked = weights + row * line
                add_rows(own, width, asked, line, out + row * sum_size, sum_size, num)

    return score, add_up


_score, _add_up = _by_panels(in_pairs=False)
_score_pairs, _add_up_pairs = _by_panels(in_pairs=True) if HAS_PAIRS else (_score, _add_up)
_shorten = shorten(Form.FP32)


@inlined  # type: ignore[untyped-decorator]
def _goes_in_pairs(about: Any) -> Any:
    """Whether a tile is computed in bf16: its heads fill vectors, and are kept so."""
    return HAS_PAIRS and about.kept_form == Form.BF16.value and about.head_size % WIDTH == 0


@inlined  # type: ignore[untyped-decorator]
def pack(about: Any, place: Any, end: Any, keys: Any, values: Any) -> None:
    """Make ``end`` tokens from the number at ``place`` on into panels of a chunk."""
    size = about.head_size
    if _goes_in_pairs(about):
        _pack_pairs(about.keys + 2 * place, about.values + 2 * place, size, end, keys, values)
    elif about.kept_form == Form.BF16.value:
        _pack_bf16(about.keys + 2 * place, about.values + 2 * place, size, end, keys, values)
    else:
        _pack_fp32(about.keys + 4 * place, about.values + 4 * place, size, end, keys, values)


@inlined  # type: ignore[untyped-decorator]
def score(about: Any, queries: Any, num_queries: Any, keys: Any, scores: Any, end: Any) -> None:
    """The products of all queries with the keys of a chunk, of which ``end`` count."""
    if _goes_in_pairs(about):
        _score_pairs(queries, num_queries, about.head_size, keys, scores, end)
    else:
        _score(queries, num_queries, about.head_size, keys, scores, end)


@inlined  # type: ignore[untyped-decorator]
def add_up(about: Any, weights: Any, num_queries: Any, values: Any, sums: Any, end: Any) -> None:
    """Add the values of a chunk to the sums of all queries."""
    if _goes_in_pairs(about):
        _add_up_pairs(weights, num_queries, about.head_size, values, sums, end)
    else:
        _add_up(weights, num_queries, about.head_size, values, sums, end)


@inlined  # type: ignore[untyped-decorator]
def narrow(about: Any, row: Any, size: Any) -> None:
    """Have a row of queries or weights as the products take it, in place."""
    if _goes_in_pairs(about):
        _shorten(row, row, size)
