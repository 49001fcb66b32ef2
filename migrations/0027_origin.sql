-- Where a server got a revision of a plugin from: `built_in`, `folder` or `upload`.

ALTER TABLE plugin_revisions ADD COLUMN origin {{text}} NOT NULL DEFAULT 'upload';

-- Until now every component of the folder was called built in.
UPDATE plugin_revisions SET origin = 'built_in' WHERE created_by = 'tidegate';
