-- How much of what must not be undone was published: keys, and what ended. One row.
CREATE TABLE state (
    one INTEGER PRIMARY KEY NOT NULL CHECK (one = 1),
    store TEXT NOT NULL,            -- a random name of this store
    number INTEGER NOT NULL         -- grows with each change that must not be undone
) STRICT;
