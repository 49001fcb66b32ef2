-- All users who edited a campaign before its start. None of them can approve it.

-- A JSON list of names in the order of their first edits; null: only `edited_by` is known.
ALTER TABLE campaigns ADD COLUMN editors {{text}};
