-- Which users requested an update, and whether a bulk request created it. None of them can approve it or its retry.

-- JSON: {authors, is_bulk}; null: an update of the server itself, of a campaign, or of an earlier version.
ALTER TABLE updates ADD COLUMN authorship {{text}};
