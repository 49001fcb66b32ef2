-- The audit trail: one row for each change by a user, an API key, the command line or the server, written in the
-- transaction of the change. Devices' reports leave no rows. Secrets, and hashes of secrets, are never stored here.

CREATE TABLE audit (
    id {{id}},
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    at BIGINT NOT NULL,
    -- `key`, `token`, `command_line` or `server`.
    actor_kind {{text}} NOT NULL,
    actor {{text}} NOT NULL,
    role {{text}} NOT NULL,
    request_id {{text}} NOT NULL,
    -- For example `campaign.start`.
    action {{text}} NOT NULL,
    resource_kind {{text}} NOT NULL,
    -- Null if the change concerns many resources; `after_json` names them.
    resource_id {{text}},
    -- The changed fields, JSON; null if the resource did not exist before, or does not exist any more.
    before_json {{text}},
    after_json {{text}}
);

CREATE INDEX audit_by_tenant ON audit (tenant_id, id);
