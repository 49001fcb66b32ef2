-- What a campaign's plugins may cost.

-- The last 32 ticks that called plugins: a bit for each, 1 for a failure that repeats with the same input.
ALTER TABLE campaign_runs ADD COLUMN plugin_recent_ticks BIGINT NOT NULL DEFAULT 0;

-- How many ticks in a row no event caused, and changed nothing.
ALTER TABLE campaign_runs ADD COLUMN unchanged_ticks BIGINT NOT NULL DEFAULT 0;

-- The version of the costs by which the fuel of a call was counted.
ALTER TABLE journal ADD COLUMN fuel_costs BIGINT NOT NULL DEFAULT 1;
