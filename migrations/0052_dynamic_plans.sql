-- Plans that devices join after the start of their campaign.

-- Whether devices that match the targets later join the last wave.
ALTER TABLE campaign_runs ADD COLUMN is_dynamic BIGINT NOT NULL DEFAULT 0;
-- The number of devices that joined after the start.
ALTER TABLE campaign_runs ADD COLUMN joined_devices BIGINT NOT NULL DEFAULT 0;
-- When all targeted devices are checked once for those that changed while the campaign started; null: they were.
ALTER TABLE campaign_runs ADD COLUMN join_scan_at BIGINT;

-- The campaigns that devices can join.
CREATE INDEX campaign_runs_to_join ON campaign_runs (tenant_id, campaign_id)
    WHERE is_dynamic = 1 AND status IN ('in_progress', 'paused', 'held');

-- When the policies checked the class; null: at the start.
ALTER TABLE campaign_classes ADD COLUMN checked_at BIGINT;
-- Whether no policy was asked: the class is excluded because of the mode that its devices had.
ALTER TABLE campaign_classes ADD COLUMN is_unchecked BIGINT NOT NULL DEFAULT 0;

-- Devices that campaigns selected after their start: members of the last wave, and excluded devices.
CREATE TABLE late_devices (
    tenant_id BIGINT NOT NULL,
    campaign_id BIGINT NOT NULL,
    device_key BIGINT NOT NULL,
    class BIGINT NOT NULL,
    -- In the last wave, counted from 0; null: the class is excluded.
    position BIGINT,
    at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, campaign_id, device_key),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaigns (tenant_id, id)
);

-- Devices that changed while their tenant had a campaign that devices can join. A loop checks them and deletes the rows.
CREATE TABLE changed_devices (
    tenant_id BIGINT NOT NULL,
    device_key BIGINT NOT NULL,
    -- The number of changes: a row is deleted only if no change came after those that were checked.
    changes BIGINT NOT NULL,
    -- Not checked before this time, because a check failed.
    due_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, device_key),
    FOREIGN KEY (tenant_id, device_key) REFERENCES devices (tenant_id, id) ON DELETE CASCADE
);
