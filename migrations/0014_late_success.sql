-- A success after a time-out.

-- The update of the device that timed out, until the device is offered a later one or completes one.
ALTER TABLE devices ADD COLUMN timed_out_update_id BIGINT;
