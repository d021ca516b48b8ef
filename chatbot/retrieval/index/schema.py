"""The tables of an index.

``VERSION`` stands in the file as ``user_version``. All of it can be made again out of the
user's files, so an index of an older version is not brought up to date but made anew.
"""

from typing import Final

VERSION: Final = 2

SCHEMA: Final = """
-- Which folder this is, how it was cut and embedded, where its lexical index is, and what the
-- program that writes is doing; see the constants below.
CREATE TABLE state (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- The files of the folder, those with problems too.
CREATE TABLE documents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    file TEXT NOT NULL UNIQUE,
    num_bytes INTEGER NOT NULL,
    modified_ns INTEGER NOT NULL,
    -- What the walk said was wrong, by which a file is compared; the reader's reason is problem.
    found_problem TEXT NOT NULL,
    problem TEXT NOT NULL,
    -- Of the document as it was read: a file that was only touched keeps its passages.
    hash BLOB,
    kind TEXT NOT NULL,
    title TEXT NOT NULL,
    num_pages INTEGER,
    num_characters INTEGER NOT NULL,
    -- Whether the file was written so shortly before it was looked at that another write may
    -- have left the same time and size: it is read again next time.
    is_recent INTEGER NOT NULL
);

-- Ids are never given twice: the lexical index and other programs may still hold one of a
-- passage that has gone.
CREATE TABLE passages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    document INTEGER NOT NULL REFERENCES documents (id),
    start INTEGER NOT NULL,
    end INTEGER NOT NULL,
    start_line INTEGER NOT NULL,
    end_line INTEGER NOT NULL,
    page INTEGER,
    headings TEXT NOT NULL, -- JSON
    text TEXT NOT NULL,
    hash BLOB NOT NULL -- of what is embedded
);
CREATE INDEX passages_of_document ON passages (document, start);
CREATE INDEX passages_with_hash ON passages (hash);

-- float32, by what was embedded and not by passage: the same text keeps its vector when its
-- file is edited around it, moved or copied.
CREATE TABLE vectors (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    hash BLOB NOT NULL UNIQUE,
    vector BLOB NOT NULL
);

-- Vectors that lost a passage, to be looked at when an update is complete.
CREATE TABLE released (
    hash BLOB PRIMARY KEY
) WITHOUT ROWID;

-- Passages that came or went and that the lexical index does not know of yet.
CREATE TABLE pending_words (
    passage INTEGER PRIMARY KEY
);
"""

TABLES: Final = ("state", "documents", "passages", "vectors", "released", "pending_words")

# Names in the table ``state``.
FOLDER: Final = "folder"
CUTTING: Final = "cutting"
EMBEDDING: Final = "embedding"
"""Which model made the vectors."""
DIMENSIONS: Final = "dimensions"
LEXICAL: Final = "lexical"
"""Name of the folder of the lexical index, and after it the version: ``lexical-3 1``."""
STAGE: Final = "stage"
"""Of the program that writes; means something only while it runs."""
NUM_REMOVALS: Final = "num_removals"
"""Goes up whenever a passage or a vector goes, so that readers look which."""
PROGRAM: Final = "program"
"""Version of the program that last tried the files with problems."""
