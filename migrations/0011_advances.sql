-- The last time an operator advanced the campaign past the gate before a wave: who, when, whether the wave opened, and
-- the explanation of the decision. JSON; null if never.

ALTER TABLE waves ADD COLUMN advance {{text}};
