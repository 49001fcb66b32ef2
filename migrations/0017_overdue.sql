-- The hour of `last_seen`, in hours since 1970, to find the devices that have not been seen for long. An index on
-- `last_seen` itself would have to be changed with every poll. The tenant is not first, so that no statement that names a
-- tenant uses this index instead of one with more columns while the tables are empty.

ALTER TABLE devices ADD COLUMN last_seen_hour BIGINT;
UPDATE devices SET last_seen_hour = last_seen / 3600000;
CREATE INDEX devices_by_last_seen_hour ON devices (last_seen_hour, tenant_id);
