-- The reporting clock runs while devices can report. Deadlines of updates go by it.

CREATE TABLE reporting_clock (
    -- There is one row.
    name {{text}} NOT NULL PRIMARY KEY,
    -- How long it has stood still in total, in milliseconds.
    stopped_ms BIGINT NOT NULL,
    -- The last heartbeat of a server.
    beat_at BIGINT,
    -- It stands still until then.
    runs_from BIGINT
);

-- `timeout_at`, `ends_at`, `soaks_until` and `waits_since` of open updates are in the time of the reporting clock: the
-- time less `stopped_ms`. A scheduled retry goes by the time itself.
DROP INDEX updates_by_deadline;
CREATE INDEX updates_by_deadline ON updates (timeout_at)
    WHERE completed_at IS NULL AND waits_since IS NULL AND status <> 'scheduled';
CREATE INDEX updates_by_retry_time ON updates (timeout_at) WHERE completed_at IS NULL AND status = 'scheduled';
