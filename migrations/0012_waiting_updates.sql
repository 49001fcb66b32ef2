-- The clock of an update stands still while its device is shown another update.

-- Since when; null: its clock runs.
ALTER TABLE updates ADD COLUMN waits_since BIGINT;

-- Updates that wait already get their full time.
UPDATE updates SET waits_since = COALESCE(scheduled_at, created_at)
    WHERE completed_at IS NULL AND status NOT IN ('verifying', 'scheduled')
    AND EXISTS (
        SELECT 1 FROM updates shown
        WHERE shown.tenant_id = updates.tenant_id AND shown.device_key = updates.device_key
        AND shown.completed_at IS NULL AND shown.status NOT IN ('verifying', 'scheduled')
        AND (shown.weight > updates.weight OR (shown.weight = updates.weight AND shown.id < updates.id))
    );

DROP INDEX updates_by_deadline;
CREATE INDEX updates_by_deadline ON updates (timeout_at) WHERE completed_at IS NULL AND waits_since IS NULL;
