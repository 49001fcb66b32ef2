-- The last time that a device could not fetch a file of an update because the server could not read it, and which.

ALTER TABLE updates ADD COLUMN fetch_failed_at BIGINT;

ALTER TABLE updates ADD COLUMN fetch_failure {{text}};
