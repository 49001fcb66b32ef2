-- Reports that arrive after the silence of a device was judged.

-- What a rollback did for the device of an ended update. A later report may show that the device runs the firmware after
-- all: then the rollback processes the update again, and what it counted is taken back.
ALTER TABLE updates ADD COLUMN rollback_action {{text}};

-- Finds the longest polling interval of a device, which determines how long deadlines stand still after an interruption.
CREATE INDEX devices_by_polling_seconds ON devices (polling_seconds) WHERE polling_seconds IS NOT NULL;
