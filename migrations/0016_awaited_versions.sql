-- Devices that acknowledged a cancellation after they may have installed the firmware: their version decides.

ALTER TABLE updates ADD COLUMN cancel_acknowledged BIGINT NOT NULL DEFAULT 0;
-- Number of updates of the waves whose device's version is awaited.
ALTER TABLE campaign_counters ADD COLUMN awaiting_version BIGINT NOT NULL DEFAULT 0;
