-- Plugins and their revisions.

CREATE TABLE plugins (
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    name {{text}} NOT NULL,
    kind {{text}} NOT NULL,
    PRIMARY KEY (tenant_id, name)
);

CREATE TABLE plugin_revisions (
    id {{id}},
    tenant_id BIGINT NOT NULL,
    plugin {{text}} NOT NULL,
    digest {{text}} NOT NULL,
    contract {{text}} NOT NULL,
    version {{text}} NOT NULL,
    summary {{text}} NOT NULL,
    config_schema {{text}} NOT NULL,
    state_schema BIGINT NOT NULL,
    metrics {{text}} NOT NULL,
    attributes {{text}} NOT NULL,
    size BIGINT NOT NULL,
    created_by {{text}} NOT NULL,
    created_at BIGINT NOT NULL,
    enabled INTEGER NOT NULL,
    -- Usage totals.
    calls BIGINT NOT NULL,
    failures BIGINT NOT NULL,
    fuel BIGINT NOT NULL,
    UNIQUE (tenant_id, digest),
    FOREIGN KEY (tenant_id, plugin) REFERENCES plugins (tenant_id, name)
);

CREATE INDEX plugin_revisions_by_age ON plugin_revisions (tenant_id, plugin, created_at);
-- Garbage collection looks for references to a component in all tenants.
CREATE INDEX plugin_revisions_by_digest ON plugin_revisions (digest);
