-- What the compatibility of an update with its device is based on: the policies that decide, and the device class that
-- they accepted. JSON; null: no policy decides, or the update was created before this column. Devices of another class
-- are checked again before they are offered the update.

ALTER TABLE updates ADD COLUMN compatibility {{text}};
