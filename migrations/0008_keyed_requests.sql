-- REST requests with an `Idempotency-Key`, and the responses to them.

CREATE TABLE keyed_requests (
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    -- Of the caller and the key; the key itself is not stored.
    digest {{text}} NOT NULL,
    -- Random, identifies the reservation; the response's encryption key is derived from it.
    salt {{text}} NOT NULL,
    -- Of the request.
    fingerprint {{text}} NOT NULL,
    -- The server that handles the request extends this lease; null once the response is stored.
    lease_until BIGINT,
    -- Encrypted; null while the request runs, and if the response is too large to be stored.
    response {{blob}},
    response_bytes BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, digest)
);

CREATE INDEX keyed_requests_by_expiry ON keyed_requests (expires_at);

-- The number of stored requests of each tenant and the bytes of their responses, for quotas.
CREATE TABLE keyed_request_totals (
    tenant_id BIGINT NOT NULL PRIMARY KEY REFERENCES tenants (id),
    requests BIGINT NOT NULL,
    bytes BIGINT NOT NULL
);
