-- A bulk update is decided on once all of its updates were created.

-- Until then more updates of the same request may join the approval, and there is no decision; null: all have joined it.
ALTER TABLE update_approvals ADD COLUMN incomplete_until BIGINT;
