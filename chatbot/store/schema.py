"""The tables, and how each version of them becomes the next.

``VERSION`` stands in the file as ``user_version``. A change to the tables gets a new version
and an entry in ``MIGRATIONS``; what is here for older versions is never touched again.
"""

from collections.abc import Mapping
from typing import Final

VERSION: Final = 2

UNSPACED: Final = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"
"""Ranges of the characters of scripts that put no spaces between words."""

_SINCE_2: Final = """
-- What the tokens of an answer were drawn from. Apart from the messages, so that a chat is read
-- as fast as without; while an answer is written, pieces are added to the end.
CREATE TABLE token_records (
    number INTEGER PRIMARY KEY,
    message INTEGER NOT NULL REFERENCES messages (number) ON DELETE CASCADE,
    first INTEGER NOT NULL,       -- tokens of the answer before these
    num_tokens INTEGER NOT NULL,
    records BLOB NOT NULL,        -- JSON, compressed
    UNIQUE (message, first)
) STRICT;

CREATE TABLE ratings (
    message INTEGER PRIMARY KEY REFERENCES messages (number) ON DELETE CASCADE,
    rating INTEGER NOT NULL CHECK (rating IN (-1, 1)),
    rated_at REAL NOT NULL
) STRICT;
"""

SCHEMA: Final = f"""
CREATE TABLE chats (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    title TEXT NOT NULL DEFAULT '',
    is_title_given INTEGER NOT NULL DEFAULT 0,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    active_leaf TEXT,
    is_pinned INTEGER NOT NULL DEFAULT 0,
    deleted_at REAL,      -- not shown, and purged some day
    importer TEXT         -- the program that is importing it; not shown until it has it all
) STRICT;

CREATE INDEX chats_in_order ON chats (is_pinned DESC, updated_at DESC, number DESC)
    WHERE deleted_at IS NULL AND importer IS NULL;
CREATE INDEX chats_importing ON chats (importer) WHERE importer IS NOT NULL;

CREATE TABLE messages (
    number INTEGER PRIMARY KEY,  -- a parent's is always less than its child's
    chat INTEGER NOT NULL REFERENCES chats (number) ON DELETE CASCADE,
    id TEXT NOT NULL,
    parent INTEGER REFERENCES messages (number) DEFERRABLE INITIALLY DEFERRED,
    role TEXT NOT NULL,
    created_at REAL NOT NULL,
    text TEXT NOT NULL,          -- what is searched
    parts BLOB,                  -- JSON; NULL when the text is the only part
    making BLOB,                 -- JSON
    owner TEXT,                  -- the program that is writing this answer
    is_pinned INTEGER NOT NULL DEFAULT 0,
    deletion TEXT,               -- which deletion took it away
    deleted_at REAL,
    UNIQUE (chat, id)
) STRICT;

CREATE INDEX messages_alive ON messages (chat) WHERE deletion IS NULL;
CREATE INDEX messages_by_parent ON messages (parent);
CREATE INDEX messages_deleted ON messages (deletion) WHERE deletion IS NOT NULL;
-- Scripts without spaces between words (Thai, Lao, Burmese, Khmer, Chinese, Japanese): their
-- words are not in the index below, so that these messages are looked through themselves.
CREATE INDEX messages_unspaced ON messages (number)
    WHERE text GLOB '*[{UNSPACED}]*';
CREATE INDEX messages_being_written ON messages (owner) WHERE owner IS NOT NULL;

-- The words of the messages. Answers join when they are finished, and not every half second.
CREATE VIRTUAL TABLE message_words USING fts5 (
    text, content = 'messages', content_rowid = 'number',
    tokenize = 'unicode61 remove_diacritics 2', prefix = '1 2 3'
);
CREATE TRIGGER message_added AFTER INSERT ON messages WHEN new.owner IS NULL BEGIN
    INSERT INTO message_words (rowid, text) VALUES (new.number, new.text);
END;
CREATE TRIGGER message_removed AFTER DELETE ON messages WHEN old.owner IS NULL BEGIN
    INSERT INTO message_words (message_words, rowid, text)
        VALUES ('delete', old.number, old.text);
END;
CREATE TRIGGER message_changed AFTER UPDATE OF text, owner ON messages
    WHEN old.owner IS NULL AND new.owner IS NULL AND old.text <> new.text BEGIN
    INSERT INTO message_words (message_words, rowid, text)
        VALUES ('delete', old.number, old.text);
    INSERT INTO message_words (rowid, text) VALUES (new.number, new.text);
END;
CREATE TRIGGER message_begun AFTER UPDATE OF owner ON messages
    WHEN old.owner IS NULL AND new.owner IS NOT NULL BEGIN
    INSERT INTO message_words (message_words, rowid, text)
        VALUES ('delete', old.number, old.text);
END;
CREATE TRIGGER message_finished AFTER UPDATE OF owner ON messages
    WHEN old.owner IS NOT NULL AND new.owner IS NULL BEGIN
    INSERT INTO message_words (rowid, text) VALUES (new.number, new.text);
END;

CREATE VIRTUAL TABLE title_words USING fts5 (
    title, content = 'chats', content_rowid = 'number',
    tokenize = 'unicode61 remove_diacritics 2', prefix = '1 2 3'
);
CREATE TRIGGER chat_added AFTER INSERT ON chats BEGIN
    INSERT INTO title_words (rowid, title) VALUES (new.number, new.title);
END;
CREATE TRIGGER chat_removed AFTER DELETE ON chats BEGIN
    INSERT INTO title_words (title_words, rowid, title)
        VALUES ('delete', old.number, old.title);
END;
CREATE TRIGGER chat_renamed AFTER UPDATE OF title ON chats WHEN old.title <> new.title BEGIN
    INSERT INTO title_words (title_words, rowid, title)
        VALUES ('delete', old.number, old.title);
    INSERT INTO title_words (rowid, title) VALUES (new.number, new.title);
END;
{_SINCE_2}"""

MIGRATIONS: Final[Mapping[int, str]] = {1: _SINCE_2}
"""SQL that makes the next version out of the version that is the key."""
