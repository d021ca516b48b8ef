-- A file of version 1, as the program wrote it. Never to be changed.

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
CREATE INDEX messages_unspaced ON messages (number)
    WHERE text GLOB '*[฀-໿က-႟ក-៿぀-ヿ㐀-鿿]*';
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

INSERT INTO chats (number, id, title, is_title_given, created_at, updated_at, active_leaf, is_pinned)
VALUES (1, 'c0ffee00c0ffee00c0ffee00c0ffee00', 'What is a tree?', 0, 1700000000.0, 1700000009.5, 'b2', 1);
INSERT INTO messages (number, chat, id, parent, role, created_at, text, parts, making)
VALUES (1, 1, 'a1', NULL, 'user', 1700000000.0, 'What is a tree?', NULL, NULL);
INSERT INTO messages (number, chat, id, parent, role, created_at, text, parts, making)
VALUES (2, 1, 'b2', 1, 'assistant', 1700000009.5, 'A tall plant.', NULL, CAST('{"model":"smollm2-135m","precision":"bf16","device":"cpu","sampling":{"temperature":0.7,"top_p":0.95,"top_k":50,"min_p":0.0,"repetition_penalty":1.0,"no_repeat_ngram_size":0,"max_tokens":1024,"seed":null},"changes":[],"finish_reason":"stop","error":"","statistics":{"num_prompt_tokens":9,"num_cached_tokens":0,"num_new_tokens":5,"first_token_seconds":0.1,"decode_seconds":0.2},"num_controls_removed":0}' AS BLOB));
PRAGMA user_version = 1;
