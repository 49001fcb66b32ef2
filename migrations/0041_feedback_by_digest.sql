-- Feedback is found by its update and its digest. Its table is that key's index on SQLite, which writes each new row to
-- one tree instead of three.

CREATE TABLE feedback_by_digest (
    tenant_id BIGINT NOT NULL,
    update_id BIGINT NOT NULL,
    digest {{text}} NOT NULL,
    -- The number of the cancellation request that it answers; 0: none. The same answer to a later request is new feedback.
    cancel_request BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    -- The log line number of its first message; 0: it has no messages.
    first_line BIGINT NOT NULL,
    at BIGINT NOT NULL,
    device_time BIGINT,
    execution {{text}} NOT NULL,
    finished {{text}} NOT NULL,
    progress_n BIGINT,
    progress_of BIGINT,
    code BIGINT,
    -- JSON: list of texts.
    messages {{text}} NOT NULL,
    -- Whether messages were cut to the size limit.
    truncated BIGINT NOT NULL,
    PRIMARY KEY (update_id, digest, cancel_request),
    FOREIGN KEY (tenant_id, update_id) REFERENCES updates (tenant_id, id) ON DELETE CASCADE
){{without_rowid}};

INSERT INTO feedback_by_digest
    (tenant_id, update_id, digest, cancel_request, seq, first_line, at, device_time, execution, finished, progress_n,
     progress_of, code, messages, truncated)
SELECT tenant_id, update_id, digest, cancel_request, seq, first_line, at, device_time, execution, finished, progress_n,
    progress_of, code, messages, truncated
FROM feedback ORDER BY update_id, digest, cancel_request;

DROP TABLE feedback;
ALTER TABLE feedback_by_digest RENAME TO feedback;
