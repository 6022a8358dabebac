-- What was revoked by name, for as long as a token of it could be shown.
CREATE TABLE revoked (
    kind TEXT NOT NULL,             -- transaction, token or workload
    name TEXT NOT NULL,             -- `txn`, `jti` or SPIFFE ID
    through INTEGER NOT NULL,       -- what was issued up to this second is meant
    until INTEGER NOT NULL,         -- deleted then
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX revoked_by_end ON revoked (until);
CREATE INDEX transactions_by_edge ON transactions (edge);
