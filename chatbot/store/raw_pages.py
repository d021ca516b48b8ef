"""Reads the rows of a SQLite file out of its leaf pages, without SQLite.

For a file whose inner pages are lost, so that no query gets to the rows that are still
there. Follows https://www.sqlite.org/fileformat2.html; knows no table: a row is what its
page says it is, and whoever asks must see by its values where it belongs.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

Value = int | float | str | bytes | None

_TABLE_LEAF: Final = 0x0D
_MAX_ROW_BYTES: Final = 64 * 2**20
_INTEGER_SIZES: Final = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}


def raw_rows(file: Path) -> Iterator[tuple[int, list[Value]]]:
    """Number and values of each row that can be read, in no order; some may be outdated."""
    content = file.read_bytes()
    page_size = int.from_bytes(content[16:18], "big")
    page_size = 65536 if page_size == 1 else page_size
    if page_size < 512 or page_size & (page_size - 1):
        page_size = 4096  # the first page is lost as well
    usable = page_size - content[20] if len(content) > 20 and content[20] < 64 else page_size
    for start in range(0, len(content), page_size):
        page = content[start : start + page_size]
        head = 100 if start == 0 else 0
        if len(page) < page_size or page[head] != _TABLE_LEAF:
            continue
        num_cells = int.from_bytes(page[head + 3 : head + 5], "big")
        for index in range(min(num_cells, page_size // 4)):
            pointer = head + 8 + 2 * index
            cell = int.from_bytes(page[pointer : pointer + 2], "big")
            try:
                yield _row(content, page, cell, page_size, usable)
            except (ValueError, IndexError, struct.error):
                continue  # this one is broken; the next may be whole


def _row(
    content: bytes, page: bytes, at: int, page_size: int, usable: int
) -> tuple[int, list[Value]]:
    length, at = _varint(page, at)
    number, at = _varint(page, at)
    if length > _MAX_ROW_BYTES:
        raise ValueError("no row is this long")
    largest_local = usable - 35
    if length <= largest_local:
        return number, _values(page[at : at + length])
    smallest_local = (usable - 12) * 32 // 255 - 23
    local = smallest_local + (length - smallest_local) % (usable - 4)
    if local > largest_local:
        local = smallest_local
    record = bytearray(page[at : at + local])
    overflow = int.from_bytes(page[at + local : at + local + 4], "big")
    while len(record) < length:
        start = (overflow - 1) * page_size
        if overflow < 1 or start + usable > len(content):
            raise ValueError("the rest of the row is lost")
        record += content[start + 4 : start + usable]
        overflow = int.from_bytes(content[start : start + 4], "big")
    return number, _values(bytes(record[:length]))


def _values(record: bytes) -> list[Value]:
    head_length, at = _varint(record, 0)
    kinds = []
    while at < head_length:
        kind, at = _varint(record, at)
        kinds.append(kind)
    values = []
    for kind in kinds:
        value, at = _value(record, at, kind)
        values.append(value)
    if at != len(record):
        raise ValueError("the lengths do not add up")
    return values


def _value(record: bytes, at: int, kind: int) -> tuple[Value, int]:
    if kind == 0:
        return None, at
    if kind in _INTEGER_SIZES:
        end = at + _INTEGER_SIZES[kind]
        return int.from_bytes(record[at:end], "big", signed=True), end
    if kind == 7:
        return float(struct.unpack(">d", record[at : at + 8])[0]), at + 8
    if kind in (8, 9):
        return kind - 8, at
    if kind < 12:
        raise ValueError("there is no such kind of value")
    end = at + (kind - 12) // 2
    if end > len(record):
        raise ValueError("a value is longer than its row")
    raw = record[at:end]
    return (raw.decode("utf-8") if kind % 2 else raw), end


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at an index, in SQLite's own coding, and the index after it."""
    value = 0
    for index in range(8):
        byte = data[at + index]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + index + 1
    return value << 8 | data[at + 8], at + 9
