-- Whether the campaign uses the revision now. It keeps those that it used before: its journal is replayed with them.
ALTER TABLE campaign_revisions ADD COLUMN is_current BIGINT NOT NULL DEFAULT 1;

-- What campaigns released when they moved.
INSERT INTO campaign_revisions (tenant_id, campaign_id, digest, is_current)
SELECT DISTINCT j.tenant_id, j.campaign_id, j.revision, 0
FROM journal j JOIN plugin_revisions r ON r.tenant_id = j.tenant_id AND r.digest = j.revision
WHERE NOT EXISTS (
    SELECT 1 FROM campaign_revisions c
    WHERE c.tenant_id = j.tenant_id AND c.campaign_id = j.campaign_id AND c.digest = j.revision
);
