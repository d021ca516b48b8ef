"""Full-text search over messages and titles.

What the user types is never read as a query language: every word is quoted, the last one
also matches as a beginning, and words inside quotation marks stand together.
"""

import re
import sqlite3
from typing import Any, Final

from chatbot.errors import StoreError
from chatbot.store.cleaning import safe_role, safe_time
from chatbot.store.database import Database
from chatbot.store.failures import is_damage
from chatbot.store.reading import INFO_COLUMNS, SHOWN, info_of
from chatbot.store.schema import UNSPACED
from chatbot.store.values import Run, SearchHit
from chatbot.terminal_text import clean

MANY: Final = 1_000
"""From this many matches on the newest come first: a word that is everywhere says little about
what fits best, and to weigh all its places would take longer than a key press."""

MAX_QUERY_LENGTH: Final = 300
"""Characters of a query that are looked at."""

_EXCERPT_TOKENS: Final = 20
_EXCERPT_LENGTH: Final = 160

_PIECES: Final = re.compile(r'"([^"]*)"?|([^\s"]+)')
_UNSPACED: Final = re.compile(f"[{UNSPACED}]")

# Marks around the hits in an excerpt: characters that no cleaned text holds.
_BEGIN: Final = "\x01"
_END: Final = "\x02"

_ALIVE: Final = f"deletion IS NULL AND {SHOWN}"


def search(db: Database, query: str, limit: int = 50, offset: int = 0) -> list[SearchHit]:
    """Chats by their title, then messages: the best first, or the newest where there are many.

    Raises:
        StoreError: the file cannot be read.
    """
    query = clean(query)[:MAX_QUERY_LENGTH]
    try:
        return _search(db, query, limit, offset)
    except StoreError as error:
        cause = error.__cause__
        if not isinstance(cause, sqlite3.Error) or not is_damage(cause):
            raise
    # The index can be made anew out of the messages.
    with db.writing() as connection:
        connection.execute("INSERT INTO message_words (message_words) VALUES ('rebuild')")
        # Takes in what is being written, too, whose words join by a trigger when it is finished.
        connection.execute(
            "INSERT INTO message_words (message_words, rowid, text) "
            "SELECT 'delete', number, text FROM messages WHERE owner IS NOT NULL"
        )
        connection.execute("INSERT INTO title_words (title_words) VALUES ('rebuild')")
    return _search(db, query, limit, offset)


def _search(db: Database, query: str, limit: int, offset: int) -> list[SearchHit]:
    if _UNSPACED.search(query):
        return _search_anywhere(db, query.strip(), limit, offset)
    wanted = as_match(query)
    if not wanted:
        return []
    titles = _search_titles(db, wanted, limit + offset)
    hits = titles[offset : offset + limit]
    room = limit - len(hits)
    if room > 0:
        hits += _search_messages(db, wanted, room, max(0, offset - len(titles)))
    return hits


def as_match(query: str) -> str:
    """A query in FTS5's language that means the words the user typed, and nothing else."""
    pieces = list(_PIECES.finditer(query))
    words = []
    for piece in pieces:
        phrase, word = piece.groups()
        text = word if phrase is None else phrase
        if any(character.isalnum() for character in text):
            is_open = piece is pieces[-1] and phrase is None and not query[-1].isspace()
            words.append(f'"{text}"' + ("*" if is_open else ""))
    return " ".join(words)


def _search_titles(db: Database, wanted: str, limit: int) -> list[SearchHit]:
    rows = db.query(
        f"SELECT {INFO_COLUMNS}, 0, NULL, NULL, chats.created_at, "
        f"highlight(title_words, 0, '{_BEGIN}', '{_END}') "
        "FROM title_words JOIN chats ON chats.number = title_words.rowid "
        f"WHERE title_words MATCH ? AND {SHOWN} "
        "ORDER BY chats.is_pinned DESC, chats.updated_at DESC LIMIT ?",
        (wanted, limit),
    )
    return [_hit(row) for row in rows]


def _search_messages(db: Database, wanted: str, limit: int, offset: int) -> list[SearchHit]:
    found = db.query(
        "SELECT count(*) FROM (SELECT 1 FROM message_words WHERE message_words MATCH ? LIMIT ?)",
        (wanted, MANY),
    )[0][0]
    order = "message_words.rowid DESC" if found >= MANY else "message_words.rank"
    rows = db.query(
        f"SELECT {INFO_COLUMNS}, 0, messages.id, role, messages.created_at, "
        f"snippet(message_words, 0, '{_BEGIN}', '{_END}', '…', {_EXCERPT_TOKENS}) "
        "FROM message_words CROSS JOIN messages ON messages.number = message_words.rowid "
        "CROSS JOIN chats ON chats.number = messages.chat "
        f"WHERE message_words MATCH ? AND {_ALIVE} ORDER BY {order} LIMIT ? OFFSET ?",
        (wanted, limit, offset),
    )
    return [_hit(row) for row in rows]


def _search_anywhere(db: Database, query: str, limit: int, offset: int) -> list[SearchHit]:
    """The newest messages in which the very characters stand."""
    words = [word for word in query.replace('"', " ").split() if word]
    matches = " AND ".join("instr(text, ?)" for _ in words)
    rows = db.query(
        f"SELECT {INFO_COLUMNS}, 0, messages.id, role, messages.created_at, text "
        f"FROM messages INDEXED BY messages_unspaced CROSS JOIN chats "
        f"ON chats.number = messages.chat WHERE text GLOB '*[{UNSPACED}]*' AND {matches} "
        f"AND owner IS NULL AND {_ALIVE} ORDER BY messages.number DESC LIMIT ? OFFSET ?",
        (*words, limit, offset),
    )
    return [_hit((*row[:-1], _marked(row[-1], words))) for row in rows]


def _marked(text: str, words: list[str]) -> str:
    """The surroundings of the first word in ``text``, with marks around all words."""
    start = max(0, text.find(words[0]) - _EXCERPT_LENGTH // 4)
    excerpt = text[start : start + _EXCERPT_LENGTH]
    either = "|".join(map(re.escape, words))
    marked = re.sub(f"({either})", rf"{_BEGIN}\1{_END}", excerpt)
    ends = start + _EXCERPT_LENGTH < len(text)
    return ("…" if start else "") + marked + ("…" if ends else "")


def _hit(row: tuple[Any, ...]) -> SearchHit:
    *info, message_id, role, created_at, excerpt = row
    return SearchHit(
        chat=info_of(tuple(info)),
        message_id=message_id,
        role=role and safe_role(role),
        created_at=safe_time(created_at),
        excerpt=_runs(excerpt),
    )


def _runs(marked: str) -> tuple[Run, ...]:
    """The stretches of a marked excerpt, white space folded."""
    runs = []
    for index, piece in enumerate(re.split(f"[{_BEGIN}{_END}]", re.sub(r"\s+", " ", marked))):
        if piece:
            runs.append(Run(clean(piece), is_hit=index % 2 == 1))
    return tuple(runs)
