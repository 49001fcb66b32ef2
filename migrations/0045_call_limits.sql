-- The limits under which a plugin was called, so that its call can be repeated under them: units of fuel, bytes of memory,
-- and bytes of the output. Null for the server's own acts, and in entries of earlier versions.
ALTER TABLE journal ADD COLUMN fuel_limit BIGINT;
ALTER TABLE journal ADD COLUMN memory_limit BIGINT;
ALTER TABLE journal ADD COLUMN answer_limit BIGINT;
