-- The size of the journal: what is large is stored once for each campaign, and bytes are counted.

-- Parts of inputs and outputs that several entries may have, by the sha256 of their bytes.
CREATE TABLE journal_contents (
    tenant_id BIGINT NOT NULL,
    campaign_id BIGINT NOT NULL,
    digest {{text}} NOT NULL,
    -- The last entry that has it. Entries are removed oldest first, so nothing refers to it once that one is removed.
    last_seq BIGINT NOT NULL,
    content {{blob}} NOT NULL,
    PRIMARY KEY (tenant_id, campaign_id, digest),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaigns (tenant_id, id)
);

CREATE INDEX journal_contents_by_last_seq ON journal_contents (tenant_id, campaign_id, last_seq);

-- The contents that precede the columns `input` and `output`, and those that follow them. Null: none.
ALTER TABLE journal ADD COLUMN input_text {{text}};
ALTER TABLE journal ADD COLUMN input_state {{text}};
ALTER TABLE journal ADD COLUMN output_text {{text}};
ALTER TABLE journal ADD COLUMN output_state {{text}};

-- The entries up to this `seq` were removed, because they were old.
ALTER TABLE campaign_runs ADD COLUMN journal_removed BIGINT NOT NULL DEFAULT 0;
-- The time of the oldest entry that is left. Null: there is none.
ALTER TABLE campaign_runs ADD COLUMN journal_since BIGINT;
-- The size of the entries and contents: their bytes, and 256 for the other columns of each row. host/store/src/journal
-- counts them in the same way.
ALTER TABLE campaign_runs ADD COLUMN journal_bytes BIGINT NOT NULL DEFAULT 0;

UPDATE campaign_runs SET
    journal_since = (SELECT MIN(j.at) FROM journal j
        WHERE j.tenant_id = campaign_runs.tenant_id AND j.campaign_id = campaign_runs.campaign_id),
    journal_bytes = (SELECT CAST(COALESCE(SUM(256 + OCTET_LENGTH(j.input) + OCTET_LENGTH(j.output) + OCTET_LENGTH(j.explain)
        + COALESCE(OCTET_LENGTH(j.log), 0)), 0) AS BIGINT) FROM journal j
        WHERE j.tenant_id = campaign_runs.tenant_id AND j.campaign_id = campaign_runs.campaign_id);

CREATE INDEX campaign_runs_by_journal ON campaign_runs (journal_since) WHERE journal_since IS NOT NULL;

INSERT INTO tenant_counters (tenant_id, kind, counter_key, value)
SELECT tenant_id, 'journal_bytes', '', CAST(SUM(journal_bytes) AS BIGINT) FROM campaign_runs GROUP BY tenant_id;
