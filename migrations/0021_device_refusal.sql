-- What happens when a device refuses an update repeatedly, and how far it is with that.
-- Campaigns and updates that exist keep waiting.

ALTER TABLE campaigns ADD COLUMN device_refusal {{text}} NOT NULL DEFAULT 'wait';

ALTER TABLE updates ADD COLUMN device_refusal {{text}} NOT NULL DEFAULT 'wait';

ALTER TABLE updates ADD COLUMN refusal {{text}};
