-- The life of a revision: `candidate`, `enabled`, `deprecated` or `disabled`, instead of a flag.

ALTER TABLE plugin_revisions ADD COLUMN state {{text}} NOT NULL DEFAULT 'enabled';
UPDATE plugin_revisions SET state = 'disabled' WHERE enabled = 0;
ALTER TABLE plugin_revisions DROP COLUMN enabled;

-- In bytes, of all calls.
ALTER TABLE plugin_revisions ADD COLUMN peak_memory BIGINT NOT NULL DEFAULT 0;

-- The revision that an administrator chose for new campaigns. Null: the highest release among the enabled ones.
ALTER TABLE plugins ADD COLUMN default_revision {{text}};

-- The revisions that campaigns are pinned to. They cannot be deleted.
CREATE TABLE campaign_revisions (
    tenant_id BIGINT NOT NULL,
    campaign_id BIGINT NOT NULL,
    digest {{text}} NOT NULL,
    PRIMARY KEY (tenant_id, campaign_id, digest),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaigns (tenant_id, id),
    FOREIGN KEY (tenant_id, digest) REFERENCES plugin_revisions (tenant_id, digest)
);

CREATE INDEX campaign_revisions_by_digest ON campaign_revisions (tenant_id, digest);

INSERT INTO campaign_revisions (tenant_id, campaign_id, digest)
SELECT c.tenant_id, c.id, r.digest
FROM campaigns c JOIN plugin_revisions r ON r.tenant_id = c.tenant_id
WHERE c.strategy LIKE '%"' || r.digest || '"%' OR c.policies LIKE '%"' || r.digest || '"%';
