-- How far an authority's event logs were read.
CREATE TABLE authorities (
    issuer TEXT PRIMARY KEY NOT NULL,
    through_ms INTEGER NOT NULL,    -- by the authority's clock
    confirmed_at INTEGER NOT NULL,  -- when that was, by ours
    doubted_through INTEGER         -- what it gave up to this second must be confirmed, whosever it is
) STRICT, WITHOUT ROWID;

-- Sessions and users about whom the authority must be asked again.
CREATE TABLE doubted (
    mark BLOB PRIMARY KEY NOT NULL, -- as in `ended`
    through INTEGER NOT NULL,       -- what the authority gave up to this second says nothing any more
    until INTEGER NOT NULL          -- deleted then
) STRICT, WITHOUT ROWID;

CREATE INDEX doubted_by_end ON doubted (until);
