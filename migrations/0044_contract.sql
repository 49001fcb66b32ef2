-- What the second draft of the plugin contract shows to plugins and takes from them.

-- JSON: {gate, before, since}: where the campaign waits for an operator.
ALTER TABLE campaign_runs ADD COLUMN awaiting {{text}};
-- Plugins rely on a clock that never goes back.
ALTER TABLE campaign_runs ADD COLUMN last_tick_at BIGINT;

-- Plugins that were stored so far were built for the first draft, whose types have the same names and other fields.
UPDATE plugin_revisions SET contract = '1.0.0-draft.1' WHERE contract = '1.0.0';
-- Plugins are asked what they want to be shown for each config.
ALTER TABLE plugin_revisions DROP COLUMN metrics;
ALTER TABLE plugin_revisions DROP COLUMN attributes;

-- Histogram of the time from offer to end, for each wave. Wave -1 has the updates that ended before this migration.
CREATE TABLE wave_durations (
    tenant_id BIGINT NOT NULL,
    campaign_id BIGINT NOT NULL,
    wave BIGINT NOT NULL,
    bucket BIGINT NOT NULL,
    updates BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, campaign_id, wave, bucket),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaigns (tenant_id, id)
);

INSERT INTO wave_durations (tenant_id, campaign_id, wave, bucket, updates)
SELECT tenant_id, campaign_id, -1, bucket, updates FROM campaign_durations;

DROP TABLE campaign_durations;
