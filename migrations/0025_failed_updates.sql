-- A new version that is reported after a failure.

-- The error with which an update had ended, before its device succeeded after all.
ALTER TABLE updates ADD COLUMN earlier_error_code TEXT;
ALTER TABLE updates ADD COLUMN earlier_error_message TEXT;

-- `timed_out_update_id` of a device may now be an update that the device reported as failed.
