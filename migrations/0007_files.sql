-- Garbage collection of stored files. Files belong to no tenant: equal bytes are one file for all tenants.

-- A file has a row here while it is leased or being deleted. A transaction locks this row before it changes the leases of
-- the file.
CREATE TABLE unreferenced_files (
    sha256 {{text}} NOT NULL PRIMARY KEY,
    -- When the deletion began; from then on the file cannot be leased.
    deleting_since BIGINT
);

CREATE INDEX unreferenced_files_deleting ON unreferenced_files (deleting_since) WHERE deleting_since IS NOT NULL;

-- A lease keeps a file from being deleted until the row that refers to it is stored.
CREATE TABLE file_leases (
    sha256 {{text}} NOT NULL REFERENCES unreferenced_files (sha256),
    -- A request of a server.
    holder {{text}} NOT NULL,
    -- Longer than any request takes.
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (sha256, holder)
);

CREATE INDEX file_leases_by_holder ON file_leases (holder);
CREATE INDEX file_leases_by_expiry ON file_leases (expires_at);
