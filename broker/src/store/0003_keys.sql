-- Secrets that are sealed as one, each under its name: signing keys and their states. No part can be changed alone.
-- `keys` holds what a broker of before wrote, until it is sealed here.
CREATE TABLE sealed (
    name TEXT PRIMARY KEY NOT NULL,
    content BLOB NOT NULL           -- AES-256-GCM: nonce, ciphertext, tag
) STRICT, WITHOUT ROWID;
