-- Distinct versions and models that devices are counted by are bounded, and their counters at zero are deleted.

-- 1: counted among the other versions, or the other models, because the tenant had the maximum of distinct ones.
ALTER TABLE devices ADD COLUMN other_version BIGINT NOT NULL DEFAULT 0;
ALTER TABLE devices ADD COLUMN other_model BIGINT NOT NULL DEFAULT 0;

-- Changes of sw_version in the hour since version_hour_at.
ALTER TABLE devices ADD COLUMN version_hour_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE devices ADD COLUMN version_changes BIGINT NOT NULL DEFAULT 0;

-- The version that the device is counted with while its version is unstable.
ALTER TABLE devices ADD COLUMN counted_version {{text}};

DELETE FROM tenant_counters WHERE kind IN ('devices_by_version', 'devices_by_model') AND value = 0;

INSERT INTO tenant_counters (tenant_id, kind, counter_key, value)
SELECT tenant_id, 'distinct_versions', '', COUNT(*) FROM tenant_counters
WHERE kind = 'devices_by_version' AND counter_key <> '' GROUP BY tenant_id;

INSERT INTO tenant_counters (tenant_id, kind, counter_key, value)
SELECT tenant_id, 'distinct_models', '', COUNT(*) FROM tenant_counters
WHERE kind = 'devices_by_model' AND counter_key <> '' GROUP BY tenant_id;
