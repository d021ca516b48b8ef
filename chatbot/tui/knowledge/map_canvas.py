"""The map of a folder as characters: a shape for each cluster, its keywords at its middle.

Pure functions from values to a grid of cells. Knows no widget.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Final

import msgspec
from rich.cells import cell_len
from textual.content import Content

from chatbot.retrieval.values import FolderMap, MapCluster, MapPoint
from chatbot.terminal_text import clean_line
from chatbot.tui.drawing.cells import fitted

SHAPES: Final = "●▲■◆★○△□◇☆✚✖"
COLOURS: Final = (
    *("$text-primary", "$text-accent", "$text-success", "$text-secondary"),
    *("$text-warning", "$text-error"),
)
ALONE: Final = "·"
"""A passage of no cluster."""

MAX_LABEL: Final = 36
"""Cells of a cluster's keywords."""

LABEL_STEP: Final = 4
"""Columns between the places that are tried for them."""


class Label(msgspec.Struct, frozen=True):
    """Keywords, where they are drawn."""

    x: int
    y: int
    text: str
    cluster: int


def shape_of(cluster: int) -> str:
    """The shape of a cluster's passages."""
    return ALONE if cluster < 0 else SHAPES[cluster % len(SHAPES)]


def colour_of(cluster: int) -> str:
    """The colour of a cluster; its shape says the same."""
    return "$foreground-muted" if cluster < 0 else COLOURS[cluster % len(COLOURS)]


def cell_of(x: float, y: float, width: int, height: int) -> tuple[int, int]:
    """The cell of a point whose coordinates go from 0 to 1, upwards."""
    column = round(min(max(x, 0.0), 1.0) * (width - 1))
    row = round((1.0 - min(max(y, 0.0), 1.0)) * (height - 1))
    return column, row


def place_labels(clusters: Sequence[MapCluster], width: int, height: int) -> list[Label]:
    """Keywords of each cluster as near to its middle as they fit without overlapping; a row counts
    as much as two columns.

    The largest clusters choose first; one that fits nowhere goes without.
    """
    taken: dict[int, list[tuple[int, int]]] = defaultdict(list)
    labels = []
    order = sorted(range(len(clusters)), key=lambda i: -clusters[i].num_passages)
    for index in order:
        cluster = clusters[index]
        words = " · ".join(clean_line(word, 20) for word in cluster.keywords[:3])
        text = f" {shape_of(index)} {fitted(words, min(MAX_LABEL, max(width // 3, 8)))} "
        column, row = cell_of(cluster.x, cluster.y, width, height)
        last = max(width - cell_len(text), 0)
        middle = min(max(column - cell_len(text) // 2, 0), last)
        places = (
            (abs(left - middle) + 2 * abs(y - row), y, left)
            for y in range(height)
            for left in {middle, *range(0, last + 1, LABEL_STEP)}
            if _is_free(taken[y], left, left + cell_len(text))
        )
        if nearest := min(places, default=None):
            _, y, left = nearest
            taken[y].append((left, left + cell_len(text)))
            labels.append(Label(left, y, text, index))
    return labels


def _is_free(taken: Sequence[tuple[int, int]], left: int, right: int) -> bool:
    return all(right + 1 <= start or left >= end + 1 for start, end in taken)


def draw_map(
    folder_map: FolderMap, width: int, height: int, cursor: int | None, *, has_labels: bool = True
) -> Content:
    """The map in ``width`` times ``height`` cells.

    Args:
        folder_map: what is drawn.
        width: columns.
        height: rows.
        cursor: index of the point that is set off; None for none.
        has_labels: whether the keywords are written over the points.
    """
    cells: dict[tuple[int, int], Counter[int]] = defaultdict(Counter)
    for point in folder_map.points:
        cells[cell_of(point.x, point.y, width, height)][point.cluster] += 1
    grid: list[list[tuple[str, str]]] = [[(" ", "")] * width for _ in range(height)]
    for (x, y), clusters in cells.items():
        cluster = clusters.most_common(1)[0][0]
        weight = "bold " if clusters.total() > 1 else ""
        grid[y][x] = (shape_of(cluster), weight + colour_of(cluster))
    labels = place_labels(folder_map.clusters, width, height) if has_labels else []
    for label in labels:
        _write(grid[label.y], label.x, label.text, f"bold {colour_of(label.cluster)} on $panel")
    if cursor is not None:
        point = folder_map.points[cursor]
        x, y = cell_of(point.x, point.y, width, height)
        grid[y][x] = (shape_of(point.cluster), f"reverse bold {colour_of(point.cluster)}")
        for beside, mark in ((x - 1, "❯"), (x + 1, "❮")):
            if 0 <= beside < width:
                grid[y][beside] = (mark, "bold $foreground")
    return Content("\n").join(Content.assemble(*row) for row in grid)


def _write(row: list[tuple[str, str]], x: int, text: str, style: str) -> None:
    """Write over cells; a wide character takes two of them."""
    for character in text:
        cells = cell_len(character)
        if not cells or x + cells > len(row):
            continue
        row[x] = (character, style)
        if cells == 2:
            row[x + 1] = ("", "")
        x += cells


def nearest_point(points: Sequence[MapPoint], x: int, y: int, width: int, height: int) -> int:
    """Index of the point nearest to a cell; a row counts as much as two columns."""

    def distance(index: int) -> int:
        column, row = cell_of(points[index].x, points[index].y, width, height)
        return (column - x) ** 2 + 4 * (row - y) ** 2

    return min(range(len(points)), key=distance)


def next_point(
    points: Sequence[MapPoint], cursor: int, step: tuple[int, int], width: int, height: int
) -> int:
    """Index of the nearest point in a direction, in a cell of its own; else ``cursor``.

    Args:
        points: all of them.
        cursor: index of the one to go on from.
        step: columns and rows of the direction, each -1, 0 or 1.
        width: columns of the map.
        height: rows of the map.
    """
    x, y = cell_of(points[cursor].x, points[cursor].y, width, height)
    best, least = cursor, 1 << 30
    for index, point in enumerate(points):
        column, row = cell_of(point.x, point.y, width, height)
        along = (column - x) * step[0] + 2 * (row - y) * step[1]
        across = abs((column - x) * step[1]) + 2 * abs((row - y) * step[0])
        if along > 0 and along >= across // 2 and along + 2 * across < least:
            best, least = index, along + 2 * across
    return best
