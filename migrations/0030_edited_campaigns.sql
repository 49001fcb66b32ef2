-- The user who last edited a campaign before its start. An edited campaign needs the approval of another one.

ALTER TABLE campaigns ADD COLUMN edited_by {{text}};
