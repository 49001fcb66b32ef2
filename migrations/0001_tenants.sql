-- Tenants, the credentials of operators and gateways, certificate authorities, and the counters of each tenant.
--
-- All migrations are one text for SQLite and PostgreSQL; host/store/src/dialect.rs defines the placeholders in braces.
-- Times are milliseconds since 1970, flags are 0 or 1, digests and hashes are hexadecimal, lists and maps are JSON.

CREATE TABLE tenants (
    id {{id}},
    name {{text}} NOT NULL UNIQUE,
    -- JSON, see host/store/src/tenants/settings.rs.
    settings {{text}} NOT NULL,
    settings_revision BIGINT NOT NULL,
    -- Copy of the setting `track_address`, for use in SQL.
    track_address INTEGER NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL
);

CREATE TABLE api_keys (
    sha256 {{text}} NOT NULL PRIMARY KEY,
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    user_name {{text}} NOT NULL,
    role {{text}} NOT NULL,
    expires_at BIGINT,
    created_at BIGINT NOT NULL
);

CREATE TABLE gateways (
    id {{id}},
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    name {{text}} NOT NULL,
    token_sha256 {{text}} NOT NULL,
    -- Limits the gateway to the devices of one group; null: all devices of the tenant.
    group_name {{text}},
    created_at BIGINT NOT NULL,
    last_used BIGINT,
    UNIQUE (tenant_id, token_sha256),
    UNIQUE (tenant_id, name)
);

-- Certificate authorities that sign client certificates of devices.
CREATE TABLE device_authorities (
    id {{id}},
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    name {{text}} NOT NULL,
    certificate_sha256 {{text}} NOT NULL,
    -- X.509, DER.
    certificate {{blob}} NOT NULL,
    subject {{text}} NOT NULL,
    expires_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (tenant_id, certificate_sha256),
    UNIQUE (tenant_id, name)
);

-- Statistics, updated in the transaction that changes what they count.
CREATE TABLE tenant_counters (
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    -- host/store/src/tenant_counters.rs lists the kinds and their keys.
    kind {{text}} NOT NULL,
    counter_key {{text}} NOT NULL,
    value BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, kind, counter_key)
);
