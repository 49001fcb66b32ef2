-- How far the device has fetched the files of its update: begun or complete; null: not that the server saw.
ALTER TABLE updates ADD COLUMN file_fetch {{text}};
