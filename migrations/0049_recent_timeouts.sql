-- The last 32 ticks that called plugins: a bit for each, 1 for a missed deadline.
ALTER TABLE campaign_runs ADD COLUMN plugin_recent_timeouts BIGINT NOT NULL DEFAULT 0;
