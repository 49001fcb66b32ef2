-- Notes of operators on campaigns and updates.

ALTER TABLE campaigns ADD COLUMN note {{text}} NOT NULL DEFAULT '';

ALTER TABLE updates ADD COLUMN note {{text}} NOT NULL DEFAULT '';
