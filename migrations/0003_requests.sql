-- What requests leave behind for a while: files that nothing refers to yet.

-- Files belong to no tenant: the same bytes are one file, whoever sent them. A file has a row here while somebody holds it
-- or it is being deleted; whoever changes its holds has this row first.
CREATE TABLE loose_files (
    sha256 {{text}} NOT NULL PRIMARY KEY,
    -- Since when it is being deleted: nobody can hold it then.
    doomed_at BIGINT
);

CREATE INDEX loose_files_by_doom ON loose_files (doomed_at) WHERE doomed_at IS NOT NULL;

CREATE TABLE file_holds (
    sha256 {{text}} NOT NULL REFERENCES loose_files (sha256),
    -- A request of a host.
    holder {{text}} NOT NULL,
    -- No request takes that long.
    held_until BIGINT NOT NULL,
    PRIMARY KEY (sha256, holder)
);

CREATE INDEX file_holds_by_holder ON file_holds (holder);
CREATE INDEX file_holds_by_end ON file_holds (held_until);
CREATE INDEX artifacts_by_sha256 ON artifacts (sha256);
CREATE INDEX plugin_revisions_by_digest ON plugin_revisions (digest);

-- Requests that their clients named with a key, and what was answered to them. No key is stored.
CREATE TABLE keyed_requests (
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    -- Of who asks and of the key.
    digest {{text}} NOT NULL,
    -- Drawn for each reservation: tells one from the next, and makes the answer's seal.
    salt {{text}} NOT NULL,
    -- Of what is asked.
    fingerprint {{text}} NOT NULL,
    -- Whoever does it says so again before then; null once it was answered.
    runs_until BIGINT,
    -- Sealed; null until it was answered, and when the answer is too large to be kept.
    answer {{blob}},
    -- Of the answer.
    size BIGINT NOT NULL,
    forget_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, digest)
);

CREATE INDEX keyed_requests_by_end ON keyed_requests (forget_at);

-- How many of them a tenant has, and the bytes of their answers: changed with what they count.
CREATE TABLE keyed_request_totals (
    tenant_id BIGINT NOT NULL PRIMARY KEY REFERENCES tenants (id),
    requests BIGINT NOT NULL,
    bytes BIGINT NOT NULL
);
