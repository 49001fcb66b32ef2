-- Updates that wait until another user than their creator approves them. Those of one request are approved as one.

CREATE TABLE update_approvals (
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    -- The id of the first of the updates.
    id BIGINT NOT NULL,
    requested_by {{text}} NOT NULL,
    requested_at BIGINT NOT NULL,
    -- Whether the updates were requested in spite of pins.
    is_forced BIGINT NOT NULL,
    -- The decision; null while it is not made.
    is_approved BIGINT,
    decided_by {{text}},
    decided_at BIGINT,
    comment {{text}},
    -- When all updates had followed the decision.
    applied_at BIGINT,
    PRIMARY KEY (tenant_id, id)
);

CREATE INDEX update_approvals_to_apply ON update_approvals (decided_at)
    WHERE decided_at IS NOT NULL AND applied_at IS NULL;

-- The approval that the update waits or waited for; null: none.
ALTER TABLE updates ADD COLUMN approval_id BIGINT;

CREATE INDEX updates_by_approval ON updates (tenant_id, approval_id, id) WHERE approval_id IS NOT NULL;
CREATE INDEX updates_waiting_approval ON updates (tenant_id, id) WHERE status = 'waiting_approval';
