-- The most memory that a call had, in bytes. Null for acts of the server, and in entries from before this migration.
ALTER TABLE journal ADD COLUMN peak_memory BIGINT;
