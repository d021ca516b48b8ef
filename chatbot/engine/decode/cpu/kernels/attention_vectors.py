"""Products of queries with keys, and sums of values, for attention; see ``vectors``.

Vectors cover as many of a head's numbers as fill them; the rest is left to whoever calls.
"""

from typing import Any, Final

from llvmlite import ir

from chatbot.engine.decode.cpu.kernels.forms import Form
from chatbot.engine.decode.cpu.kernels.vectors import (
    FLOAT,
    INT,
    LONG,
    WIDTH,
    Loop,
    add_pairs,
    add_product,
    four_sums,
    function_of,
    moved,
    new_sum,
    numbers_at,
    pointer_to,
    spread,
    sum_of,
    vector_at,
)

MOST_TOKENS: Final = 4
"""Tokens whose keys are read at a time."""

MOST_VECTORS: Final = 4
"""Vectors of a value that are summed up at a time."""


def scores(form: Form, num_tokens: int, num_heads: int) -> Any:
    """A function that gives the products of ``num_heads`` queries with the keys of 1 token or of
    ``MOST_TOKENS``.

    It takes the address of the first key, the bytes from one to the next, the same of the queries
    in fp32, the address of the first query's products, the bytes to those of the next, and how
    many numbers a head has.
    """

    def write(builder: Any, arguments: Any) -> None:
        keys, key_size, queries, query_size, outputs, output_size, size = arguments
        key_at = [moved(builder, keys, key_size, token) for token in range(num_tokens)]
        query_at = [moved(builder, queries, query_size, head) for head in range(num_heads)]
        sums = [[new_sum(builder) for _ in key_at] for _ in query_at]
        with Loop(builder, size, WIDTH) as first:
            for token, key in enumerate(key_at):
                wide = numbers_at(builder, form, key, first)
                for query, own in zip(query_at, sums, strict=True):
                    numbers = numbers_at(builder, Form.FP32, query, first)
                    add_product(builder, own[token], wide, numbers)
        for head, own in enumerate(sums):
            place = moved(builder, outputs, output_size, head)
            totals = [builder.load(total) for total in own]
            if num_tokens == 1:
                builder.store(sum_of(builder, totals[0]), pointer_to(builder, place, FLOAT))
                continue
            four = ir.VectorType(FLOAT, MOST_TOKENS)
            builder.store(four_sums(builder, totals), pointer_to(builder, place, four), align=4)

    return function_of(write, 7)


def weighted_sums(
    form: Form,
    num_vectors: int,
    num_heads: int,
    *,
    goes_on: bool = False,
    in_pairs: bool = False,
) -> Any:
    """A function that adds up ``num_vectors`` vectors of the values of several tokens, by the
    weights of ``num_heads`` heads; with ``goes_on``, to the sums that are there.

    It takes the address of the first token's value, the bytes from one to the next, the address
    of the first head's weights in fp32, the bytes to those of the next, the address of the first
    head's sums, the bytes to those of the next, and how many tokens there are. With ``in_pairs``,
    where the processor ``HAS_PAIRS``, a token stands for two: each of its values and weights is a
    pair in bf16.
    """
    element, add = (INT, add_pairs) if in_pairs else (FLOAT, add_product)

    def write(builder: Any, arguments: Any) -> None:
        values, value_size, weights, weights_size, outputs, output_size, num_tokens = arguments
        weights_at = [moved(builder, weights, weights_size, head) for head in range(num_heads)]
        sums = [[new_sum(builder) for _ in range(num_vectors)] for _ in weights_at]
        targets = [
            [
                vector_at(builder, place, LONG(number * WIDTH), FLOAT, 4)
                for number in range(num_vectors)
            ]
            for place in (moved(builder, outputs, output_size, h) for h in range(num_heads))
        ]
        if goes_on:
            for own, places in zip(sums, targets, strict=True):
                for total, place in zip(own, places, strict=True):
                    builder.store(builder.load(place, align=4), total)
        with Loop(builder, num_tokens, 1) as token:
            value = builder.add(values, builder.mul(token, value_size))

            def weight(head: int) -> Any:
                place = builder.gep(pointer_to(builder, weights_at[head], element), [token])
                return spread(builder, builder.load(place))

            def vector(number: int) -> Any:
                place = LONG(number * WIDTH)
                if in_pairs:
                    return builder.load(vector_at(builder, value, place, INT, 4), align=4)
                return numbers_at(builder, form, value, place)

            # There are registers for the fewer of the two, and for one of the others.
            if num_heads <= num_vectors:
                held = [weight(head) for head in range(num_heads)]
                for number in range(num_vectors):
                    wide = vector(number)
                    for own, factor in zip(sums, held, strict=True):
                        add(builder, own[number], wide, factor)
            else:
                held = [vector(number) for number in range(num_vectors)]
                for head, own in enumerate(sums):
                    factor = weight(head)
                    for total, wide in zip(own, held, strict=True):
                        add(builder, total, wide, factor)
        for own, places in zip(sums, targets, strict=True):
            for total, place in zip(own, places, strict=True):
                builder.store(builder.load(total), place, align=4)

    return function_of(write, 7)
