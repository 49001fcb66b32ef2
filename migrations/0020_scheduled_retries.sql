-- The number of scheduled retries of a campaign: they hold no place of max_concurrent_updates.

ALTER TABLE campaign_counters ADD COLUMN scheduled_retries BIGINT NOT NULL DEFAULT 0;

UPDATE campaign_counters SET scheduled_retries = (
    SELECT COUNT(*) FROM updates u
    WHERE u.tenant_id = campaign_counters.tenant_id AND u.campaign_id = campaign_counters.campaign_id
    AND u.status = 'scheduled' AND u.purpose = 'forward'
);

CREATE INDEX updates_scheduled ON updates (tenant_id, campaign_id, scheduled_at, id)
    WHERE status = 'scheduled' AND purpose = 'forward';
