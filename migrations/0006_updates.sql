-- Updates, the feedback of devices on them, and their logs.

-- A transaction locks the device before it changes an update. An update is open while `completed_at` is null.
CREATE TABLE updates (
    id {{id32}},
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    device_key BIGINT NOT NULL,
    firmware_id BIGINT NOT NULL,
    campaign_id BIGINT,
    -- forward or rollback
    purpose {{text}},
    wave BIGINT,
    weight BIGINT NOT NULL,
    status {{text}} NOT NULL,
    success_criteria {{text}} NOT NULL,
    -- Only with the success criteria `soaked`: how long, and until when.
    soak_ms BIGINT,
    soaks_until BIGINT,
    revision BIGINT NOT NULL,
    progress_n BIGINT,
    progress_of BIGINT,
    -- The device's last reported execution state, in DDI's words, and its last code.
    phase {{text}},
    code BIGINT,
    from_version {{text}},
    to_version {{text}} NOT NULL,
    from_firmware_id BIGINT,
    error_code {{text}},
    error_message {{text}},
    -- Whether the device reported, in this attempt or an earlier one, that it installed the firmware.
    installed_reported BIGINT NOT NULL,
    -- Number of stored feedback messages.
    feedback_count BIGINT NOT NULL,
    -- Number of log lines written, including those that were deleted.
    log_lines BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    completed_at BIGINT,
    -- The deadline of the current phase, and of the whole update.
    timeout_at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL,
    -- How often a cancellation was requested.
    cancel_requests BIGINT NOT NULL,
    -- The campaign's update options when the update was created.
    update_type {{text}} NOT NULL,
    forced_at BIGINT,
    on_denied {{text}},
    confirmation_timeout_ms BIGINT,
    update_timeout_ms BIGINT NOT NULL,
    download_timeout_ms BIGINT,
    install_timeout_ms BIGINT,
    maintenance_window {{text}},
    max_retries BIGINT NOT NULL,
    retry_delay_ms BIGINT NOT NULL,
    -- How many attempts preceded this one, the first of them, and when this one is offered at the earliest.
    retry_count BIGINT NOT NULL,
    retry_of BIGINT,
    scheduled_at BIGINT,
    -- Whether a retry replaced this update after it failed.
    is_retried BIGINT NOT NULL,
    -- When the campaign requested the cancellation, and when a rollback processed the update.
    cancel_requested_at BIGINT,
    rollback_processed_at BIGINT,
    UNIQUE (tenant_id, id),
    FOREIGN KEY (tenant_id, device_key) REFERENCES devices (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, firmware_id) REFERENCES firmware (tenant_id, id),
    FOREIGN KEY (tenant_id, from_firmware_id) REFERENCES firmware (tenant_id, id),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaigns (tenant_id, id)
);

-- A campaign has one update for each device and purpose, not counting attempts that were retried.
CREATE UNIQUE INDEX updates_once_per_device ON updates (tenant_id, campaign_id, device_key, purpose)
    WHERE campaign_id IS NOT NULL AND is_retried = 0;
CREATE INDEX updates_by_campaign ON updates (tenant_id, campaign_id, id) WHERE campaign_id IS NOT NULL;
CREATE INDEX updates_by_device ON updates (tenant_id, device_key, id);
-- Device keys and update ids are unique across tenants. An index that began with the tenant would tempt a planner without
-- statistics to scan all rows of the tenant.
CREATE INDEX updates_open ON updates (device_key, weight DESC, id) WHERE completed_at IS NULL;
CREATE INDEX updates_by_deadline ON updates (timeout_at) WHERE completed_at IS NULL;
CREATE INDEX updates_to_cancel ON updates (tenant_id, campaign_id, id)
    WHERE completed_at IS NULL AND cancel_requested_at IS NULL AND purpose = 'forward';
CREATE INDEX updates_rollback_pending ON updates (tenant_id, campaign_id, id)
    WHERE completed_at IS NOT NULL AND rollback_processed_at IS NULL AND purpose = 'forward';

CREATE TABLE feedback (
    tenant_id BIGINT NOT NULL,
    update_id BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    -- The log line number of its first message; 0: it has no messages.
    first_line BIGINT NOT NULL,
    -- The number of the cancellation request that it answers; 0: none.
    cancel_request BIGINT NOT NULL,
    digest {{text}} NOT NULL,
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
    PRIMARY KEY (tenant_id, update_id, seq),
    FOREIGN KEY (tenant_id, update_id) REFERENCES updates (tenant_id, id) ON DELETE CASCADE
);

-- Repeated feedback is stored once; the same answer to a later cancellation request is new feedback.
CREATE UNIQUE INDEX feedback_once ON feedback (update_id, digest, cancel_request);

-- Log lines, one row for each batch received. Messages of feedback share the line numbers.
CREATE TABLE update_log (
    tenant_id BIGINT NOT NULL,
    update_id BIGINT NOT NULL,
    first_line BIGINT NOT NULL,
    last_line BIGINT NOT NULL,
    at BIGINT NOT NULL,
    source {{text}} NOT NULL,
    -- JSON: list of texts.
    lines {{text}} NOT NULL,
    PRIMARY KEY (tenant_id, update_id, first_line),
    FOREIGN KEY (tenant_id, update_id) REFERENCES updates (tenant_id, id) ON DELETE CASCADE
);
