-- What was begun. Deleted when it has ended.
CREATE TABLE transactions (
    txn TEXT PRIMARY KEY NOT NULL,
    authority TEXT NOT NULL,        -- issuer URL
    sid TEXT NOT NULL,              -- session at the authority
    scope TEXT NOT NULL,            -- sorted, separated by spaces
    person BLOB NOT NULL,           -- subject, groups and roles of the authority's last answer; AES-256-GCM as below
    edge TEXT NOT NULL,             -- SPIFFE ID of the workload where it was begun
    begun_at INTEGER NOT NULL,      -- seconds since 1970, as all times here
    not_after INTEGER NOT NULL,
    long_not_after INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX transactions_by_end ON transactions (long_not_after);

-- What the authority gave for a user's token, encrypted.
CREATE TABLE keepers (
    issuer TEXT NOT NULL,
    sid TEXT NOT NULL,
    scope TEXT NOT NULL,
    token BLOB NOT NULL,            -- AES-256-GCM: nonce, ciphertext, tag
    not_after INTEGER NOT NULL,
    PRIMARY KEY (issuer, sid, scope)
) STRICT, WITHOUT ROWID;

CREATE INDEX keepers_by_end ON keepers (not_after);

-- Signing keys; the newest signs.
CREATE TABLE keys (
    kid TEXT PRIMARY KEY NOT NULL,  -- RFC 7638 thumbprint
    private BLOB NOT NULL,          -- PKCS#8, AES-256-GCM: nonce, ciphertext, tag
    public TEXT NOT NULL,           -- JWK
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
