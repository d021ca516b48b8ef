"""How much of a query one row of a table has. Knows nothing of indexes.

A passage of a table holds many rows, each about something else: that "Ada" is in one of them and
"Lovelace" in another says nothing of Ada Lovelace.
"""

from collections.abc import Mapping
from typing import Final

from chatbot.retrieval.documents.names import TABLE_KINDS, format_of
from chatbot.retrieval.relevance import coverage
from chatbot.retrieval.words import find_terms

ROW_SHARE: Final = 0.25
"""What a row with every word of the query adds to its passage's score. With more, rows come first
more often, but before prose that answers the question too."""


def row_bonus(file: str, text: str, importance: Mapping[str, float]) -> float:
    """What the best row of a passage adds to its score; 0 for a passage of no table.

    Args:
        file: which the passage is from.
        text: of the passage.
        importance: of each term that says something about the query's subject.
    """
    if format_of(file)[1] not in TABLE_KINDS:
        return 0.0
    rows = (importance.keys() & find_terms(row) for row in text.splitlines())
    return ROW_SHARE * max((coverage(found, importance) for found in rows), default=0.0)
