-- Campaigns, their waves, updates and what devices said of them, and the journal.
--
-- What an operator asked for (`campaigns`), what the loops move (`campaign_runs`), what feedback moves
-- (`campaign_counters`) and what plugins remember (`campaign_states`) are rows of their own: each is written at its own
-- pace, and feedback waits for no tick.

CREATE TABLE campaigns (
    id {{id}},
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    name {{text}} NOT NULL,
    description {{text}} NOT NULL,
    firmware_id BIGINT NOT NULL,
    -- JSON: {devices, groups, filter}
    targets {{text}} NOT NULL,
    -- The feed whose devices it means; then it has no other targets.
    feed {{text}},
    allow_beta BIGINT NOT NULL,
    -- JSON: {plugin, revision, version, kind, config}; policies: a list of them
    strategy {{text}} NOT NULL,
    policies {{text}} NOT NULL,
    priority {{text}} NOT NULL,
    max_concurrent_updates BIGINT,
    -- How its updates are put to their devices. Nobody is asked: on_denied and confirmation_ms are null.
    update_type {{text}} NOT NULL,
    forced_at BIGINT,
    on_denied {{text}},
    confirmation_ms BIGINT,
    timeout_ms BIGINT NOT NULL,
    download_ms BIGINT,
    install_ms BIGINT,
    -- JSON: {schedule, seconds, timezone, prefetch}
    maintenance_window {{text}},
    max_retries BIGINT NOT NULL,
    retry_delay_ms BIGINT NOT NULL,
    requires_approval BIGINT NOT NULL,
    auto_rollback BIGINT NOT NULL,
    failure_threshold_percent BIGINT NOT NULL,
    proof {{text}} NOT NULL,
    -- Of the proof `soaked`.
    soak_ms BIGINT,
    created_by {{text}} NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (tenant_id, id),
    FOREIGN KEY (tenant_id, firmware_id) REFERENCES firmware (tenant_id, id)
);

CREATE INDEX campaigns_by_firmware ON campaigns (tenant_id, firmware_id);
CREATE INDEX campaigns_by_feed ON campaigns (tenant_id, feed, id) WHERE feed IS NOT NULL;

CREATE TABLE campaign_runs (
    tenant_id BIGINT NOT NULL,
    campaign_id BIGINT NOT NULL,
    status {{text}} NOT NULL,
    -- Counts every applied change.
    generation BIGINT NOT NULL,
    -- JSON: {reason, by, since}
    hold {{text}},
    -- JSON: {by, comment, at}
    approval {{text}},
    -- JSON: {scope, reason, by}
    rollback {{text}},
    -- JSON: sentences
    explain {{text}} NOT NULL,
    -- JSON: the last acts of operators that strategies see, oldest first
    acts {{text}} NOT NULL,
    total_devices BIGINT NOT NULL,
    parallel BIGINT NOT NULL,
    -- How plugins have failed since one last answered; none is asked before `retry_at`.
    plugin_failures BIGINT NOT NULL,
    plugin_misses BIGINT NOT NULL,
    retry_at BIGINT,
    -- The last entry of its journal.
    journal_seq BIGINT NOT NULL,
    started_at BIGINT,
    ended_at BIGINT,
    -- When to look again by itself.
    wake_at BIGINT,
    -- Rises with every lease.
    fence BIGINT NOT NULL,
    lease_owner {{text}},
    lease_until BIGINT,
    PRIMARY KEY (tenant_id, campaign_id),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaigns (tenant_id, id)
);

CREATE INDEX campaign_runs_by_wake ON campaign_runs (wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX campaign_runs_by_lease ON campaign_runs (lease_until) WHERE lease_until IS NOT NULL;
CREATE INDEX campaign_runs_by_status ON campaign_runs (tenant_id, status, campaign_id);

-- Who changes a campaign's waves, failures or durations changes this row first: it is their lock.
CREATE TABLE campaign_counters (
    tenant_id BIGINT NOT NULL,
    campaign_id BIGINT NOT NULL,
    open_forward BIGINT NOT NULL,
    to_look_at BIGINT NOT NULL,
    open_return BIGINT NOT NULL,
    returned BIGINT NOT NULL,
    not_returned BIGINT NOT NULL,
    impossible BIGINT NOT NULL,
    pinned BIGINT NOT NULL,
    under_way BIGINT NOT NULL,
    moved_at BIGINT,
    -- Since when something waits to be looked at; taking a lease clears it.
    stirred_at BIGINT,
    PRIMARY KEY (tenant_id, campaign_id),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaigns (tenant_id, id)
);

CREATE INDEX campaign_counters_by_stir ON campaign_counters (stirred_at) WHERE stirred_at IS NOT NULL;

CREATE TABLE campaign_states (
    tenant_id BIGINT NOT NULL,
    campaign_id BIGINT NOT NULL,
    strategy_state {{blob}} NOT NULL,
    -- One for each policy, in the order of the spec: each its length as u32, little endian, then its bytes.
    policy_states {{blob}} NOT NULL,
    PRIMARY KEY (tenant_id, campaign_id),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaigns (tenant_id, id)
);

CREATE TABLE waves (
    tenant_id BIGINT NOT NULL,
    campaign_id BIGINT NOT NULL,
    wave BIGINT NOT NULL,
    name {{text}} NOT NULL,
    size BIGINT NOT NULL,
    -- The level of the last applied decision, and how far it was followed.
    released BIGINT NOT NULL,
    admitted BIGINT NOT NULL,
    -- Pending are all others.
    offered BIGINT NOT NULL,
    in_progress BIGINT NOT NULL,
    completed BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    timed_out BIGINT NOT NULL,
    cancelled BIGINT NOT NULL,
    rejected BIGINT NOT NULL,
    -- Failures that an operator accepted when the ceiling had stopped the campaign.
    accepted BIGINT NOT NULL,
    opened_at BIGINT,
    moved_at BIGINT,
    advanced_at BIGINT,
    PRIMARY KEY (tenant_id, campaign_id, wave),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaigns (tenant_id, id)
);

CREATE TABLE wave_failures (
    tenant_id BIGINT NOT NULL,
    campaign_id BIGINT NOT NULL,
    wave BIGINT NOT NULL,
    code {{text}} NOT NULL,
    devices BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, campaign_id, wave, code),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaigns (tenant_id, id)
);

-- From offer to end, as a histogram.
CREATE TABLE campaign_durations (
    tenant_id BIGINT NOT NULL,
    campaign_id BIGINT NOT NULL,
    bucket BIGINT NOT NULL,
    updates BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, campaign_id, bucket),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaigns (tenant_id, id)
);

-- A wave's devices in the order in which they are admitted: keys as i64, little endian, so many to a chunk.
CREATE TABLE wave_members (
    tenant_id BIGINT NOT NULL,
    campaign_id BIGINT NOT NULL,
    wave BIGINT NOT NULL,
    chunk BIGINT NOT NULL,
    members {{blob}} NOT NULL,
    PRIMARY KEY (tenant_id, campaign_id, wave, chunk),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaigns (tenant_id, id)
);

-- All devices that were selected, by key: key, class, wave and position, fixed at the start.
CREATE TABLE campaign_selected (
    tenant_id BIGINT NOT NULL,
    campaign_id BIGINT NOT NULL,
    first_key BIGINT NOT NULL,
    devices {{blob}} NOT NULL,
    PRIMARY KEY (tenant_id, campaign_id, first_key),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaigns (tenant_id, id)
);

-- Devices that a campaign passed over when their turn came; they count as cancelled. One whose reason may be gone is
-- ready to be looked at again.
CREATE TABLE passed_over (
    tenant_id BIGINT NOT NULL,
    campaign_id BIGINT NOT NULL,
    device_id BIGINT NOT NULL,
    wave BIGINT NOT NULL,
    -- pinned, mode, feed or superseded
    reason {{text}} NOT NULL,
    at BIGINT NOT NULL,
    ready INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, campaign_id, device_id),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaigns (tenant_id, id),
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, id) ON DELETE CASCADE
);

CREATE INDEX passed_over_by_device ON passed_over (tenant_id, device_id);
CREATE INDEX passed_over_ready ON passed_over (tenant_id, campaign_id, device_id) WHERE ready = 1;

CREATE TABLE campaign_classes (
    tenant_id BIGINT NOT NULL,
    campaign_id BIGINT NOT NULL,
    class BIGINT NOT NULL,
    -- JSON
    class_key {{text}} NOT NULL,
    devices BIGINT NOT NULL,
    excluded {{text}},
    PRIMARY KEY (tenant_id, campaign_id, class),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaigns (tenant_id, id)
);

-- Tenants whose devices in mode `latest` may be behind: counts what may have left them so, and how far that was followed.
CREATE TABLE latest_stirs (
    tenant_id BIGINT NOT NULL PRIMARY KEY REFERENCES tenants (id),
    stirs BIGINT NOT NULL,
    looked_at BIGINT NOT NULL
);

-- Who changes an update locks its device first. Open updates are those without `completed_at`.
CREATE TABLE updates (
    id {{id32}},
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    device_id BIGINT NOT NULL,
    firmware_id BIGINT NOT NULL,
    campaign_id BIGINT,
    -- forward or return
    purpose {{text}},
    wave BIGINT,
    weight BIGINT NOT NULL,
    status {{text}} NOT NULL,
    proof {{text}} NOT NULL,
    -- Of the proof `soaked`: how long, and until when.
    soak_ms BIGINT,
    soaks_until BIGINT,
    revision BIGINT NOT NULL,
    progress_n BIGINT,
    progress_of BIGINT,
    -- What its device last said of itself, in DDI's word, and the last code that it gave.
    phase {{text}},
    code BIGINT,
    from_version {{text}},
    to_version {{text}} NOT NULL,
    from_firmware_id BIGINT,
    error_code {{text}},
    error_message {{text}},
    -- Whether its device said that it installed it, in this try or in one before.
    went_over BIGINT NOT NULL,
    -- How many feedbacks are kept of it.
    feedbacks BIGINT NOT NULL,
    -- How many lines its log has had, those that are not kept any more too.
    log_lines BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    completed_at BIGINT,
    -- When its phase, or the whole of it, is overdue; and when the whole of it is.
    timeout_at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL,
    -- How often it was called back.
    call_backs BIGINT NOT NULL,
    -- The terms of its campaign as it was made.
    update_type {{text}} NOT NULL,
    forced_at BIGINT,
    on_denied {{text}},
    confirmation_ms BIGINT,
    timeout_ms BIGINT NOT NULL,
    download_ms BIGINT,
    install_ms BIGINT,
    maintenance_window {{text}},
    max_retries BIGINT NOT NULL,
    retry_delay_ms BIGINT NOT NULL,
    -- How many tries came before, the first of them, when it is offered at the earliest, and whether another one took
    -- its place after it failed.
    retry_count BIGINT NOT NULL,
    retry_of BIGINT,
    scheduled_at BIGINT,
    is_retried BIGINT NOT NULL,
    -- When a call back was sent, and when a rollback has dealt with it.
    called_back_at BIGINT,
    looked_at BIGINT,
    UNIQUE (tenant_id, id),
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, firmware_id) REFERENCES firmware (tenant_id, id),
    FOREIGN KEY (tenant_id, from_firmware_id) REFERENCES firmware (tenant_id, id),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaigns (tenant_id, id)
);

-- No device twice, its tries aside: only the last one counts.
CREATE UNIQUE INDEX updates_by_member ON updates (tenant_id, campaign_id, device_id, purpose)
    WHERE campaign_id IS NOT NULL AND is_retried = 0;
CREATE INDEX updates_by_campaign ON updates (tenant_id, campaign_id, id) WHERE campaign_id IS NOT NULL;
CREATE INDEX updates_by_device ON updates (tenant_id, device_id, id);
-- Keys of devices and updates are unique without their tenant; an index that began with it would tempt a planner that
-- knows nothing yet of the tables to walk through all of the tenant's rows.
CREATE INDEX updates_open ON updates (device_id, weight DESC, id) WHERE completed_at IS NULL;
CREATE INDEX updates_by_deadline ON updates (timeout_at) WHERE completed_at IS NULL;
CREATE INDEX updates_to_call_back ON updates (tenant_id, campaign_id, id)
    WHERE completed_at IS NULL AND called_back_at IS NULL AND purpose = 'forward';
CREATE INDEX updates_to_look_at ON updates (tenant_id, campaign_id, id)
    WHERE completed_at IS NOT NULL AND looked_at IS NULL AND purpose = 'forward';

CREATE TABLE feedback (
    tenant_id BIGINT NOT NULL,
    update_id BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    -- The number of its first message among the lines of the update's log; 0: it has none.
    first_line BIGINT NOT NULL,
    -- Which call back it answers; 0: none.
    call_back BIGINT NOT NULL,
    digest {{text}} NOT NULL,
    at BIGINT NOT NULL,
    device_time BIGINT,
    execution {{text}} NOT NULL,
    finished {{text}} NOT NULL,
    progress_n BIGINT,
    progress_of BIGINT,
    code BIGINT,
    -- JSON: texts
    messages {{text}} NOT NULL,
    cut BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, update_id, seq),
    FOREIGN KEY (tenant_id, update_id) REFERENCES updates (tenant_id, id) ON DELETE CASCADE
);

-- The same feedback again changes nothing; the same answer to another call back is another feedback.
CREATE UNIQUE INDEX feedback_once ON feedback (update_id, digest, call_back);

-- Lines of updates' logs, so many to a row as came together; messages of feedback are numbered with them.
CREATE TABLE update_log (
    tenant_id BIGINT NOT NULL,
    update_id BIGINT NOT NULL,
    first_line BIGINT NOT NULL,
    last_line BIGINT NOT NULL,
    at BIGINT NOT NULL,
    source {{text}} NOT NULL,
    -- JSON: texts
    lines {{text}} NOT NULL,
    PRIMARY KEY (tenant_id, update_id, first_line),
    FOREIGN KEY (tenant_id, update_id) REFERENCES updates (tenant_id, id) ON DELETE CASCADE
);

CREATE TABLE journal (
    tenant_id BIGINT NOT NULL,
    campaign_id BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    kind {{text}} NOT NULL,
    at BIGINT NOT NULL,
    plugin {{text}} NOT NULL,
    revision {{text}},
    question_digest {{text}},
    fuel BIGINT NOT NULL,
    duration_ns BIGINT NOT NULL,
    outcome {{text}} NOT NULL,
    -- JSON: sentences
    explain {{text}} NOT NULL,
    applied BIGINT NOT NULL,
    -- As the sandbox recorded them; last, so that lists need not read over them.
    question {{blob}} NOT NULL,
    answer {{blob}} NOT NULL,
    PRIMARY KEY (tenant_id, campaign_id, seq),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaigns (tenant_id, id)
);

-- Reports read what is known of many devices at once.
CREATE INDEX device_attributes_by_device ON device_attributes (device_id);
