-- Mode `latest` passes over versions without an order. Their keys sort after all others, so that a release with such a
-- version, as one with a number of more than ten digits, counted as the newest.

UPDATE firmware_models SET is_release = 0 WHERE version_key >= '~';
