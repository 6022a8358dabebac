-- Transactions get what a sign-out finds them by. Those of before have not got it, so they end here: their users ask again.
DROP TABLE transactions;
CREATE TABLE transactions (
    txn TEXT PRIMARY KEY NOT NULL,
    authority TEXT NOT NULL,        -- issuer URL
    sid TEXT NOT NULL,              -- session at the authority
    scope TEXT NOT NULL,            -- sorted, separated by spaces
    person BLOB NOT NULL,           -- subject, groups and roles of the authority's last answer; AES-256-GCM as below
    session_mark BLOB NOT NULL,     -- HMAC-SHA256 of authority and session
    user_mark BLOB NOT NULL,        -- HMAC-SHA256 of authority and user
    confirmed_at INTEGER NOT NULL,  -- when the authority last gave a keeper, by its own clock
    edge TEXT NOT NULL,             -- SPIFFE ID of the workload where it was begun
    begun_at INTEGER NOT NULL,      -- seconds since 1970, as all times here
    not_after INTEGER NOT NULL,
    long_not_after INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX transactions_by_end ON transactions (long_not_after);
CREATE INDEX transactions_by_session ON transactions (session_mark);
CREATE INDEX transactions_by_user ON transactions (user_mark);

-- Sessions, and users with all the sessions they had, that ended at their authority.
CREATE TABLE ended (
    mark BLOB PRIMARY KEY NOT NULL, -- as above
    through INTEGER NOT NULL,       -- what the authority gave up to this second is for what ended
    until INTEGER NOT NULL          -- deleted then
) STRICT, WITHOUT ROWID;

CREATE INDEX ended_by_end ON ended (until);
