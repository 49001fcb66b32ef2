-- JSON: the first log lines of a plugin call. Null if it has none.
ALTER TABLE journal ADD COLUMN log {{text}};
