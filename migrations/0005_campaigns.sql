-- Campaigns, their waves and members, and the journal.
--
-- The specification (`campaigns`), the state that the campaign loops change (`campaign_runs`), the counters that feedback
-- changes (`campaign_counters`) and the plugins' states (`campaign_states`) are separate rows, so that feedback does not
-- wait for a tick.

CREATE TABLE campaigns (
    id {{id}},
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    name {{text}} NOT NULL,
    description {{text}} NOT NULL,
    firmware_id BIGINT NOT NULL,
    -- JSON: {devices, groups, filter}
    targets {{text}} NOT NULL,
    -- Targets the devices of this feed; excludes other targets.
    feed {{text}},
    allow_beta BIGINT NOT NULL,
    -- JSON: {plugin, revision, version, kind, config}; policies: a list of them.
    strategy {{text}} NOT NULL,
    policies {{text}} NOT NULL,
    priority {{text}} NOT NULL,
    max_concurrent_updates BIGINT,
    -- Update options. Without confirmation, on_denied and confirmation_timeout_ms are null.
    update_type {{text}} NOT NULL,
    forced_at BIGINT,
    on_denied {{text}},
    confirmation_timeout_ms BIGINT,
    update_timeout_ms BIGINT NOT NULL,
    download_timeout_ms BIGINT,
    install_timeout_ms BIGINT,
    -- JSON: {schedule, seconds, timezone, prefetch}
    maintenance_window {{text}},
    max_retries BIGINT NOT NULL,
    retry_delay_ms BIGINT NOT NULL,
    requires_approval BIGINT NOT NULL,
    auto_rollback BIGINT NOT NULL,
    failure_threshold_percent BIGINT NOT NULL,
    success_criteria {{text}} NOT NULL,
    -- Only with the success criteria `soaked`.
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
    -- Incremented by every applied change; the token of compare-and-set.
    generation BIGINT NOT NULL,
    -- JSON: {reason, by, since}
    hold {{text}},
    -- JSON: {by, comment, at}
    approval {{text}},
    -- JSON: {scope, reason, by}
    rollback {{text}},
    -- JSON: list of sentences.
    explain {{text}} NOT NULL,
    -- JSON: the latest operator acts, as strategies see them, oldest first.
    operator_acts {{text}} NOT NULL,
    total_devices BIGINT NOT NULL,
    parallel BIGINT NOT NULL,
    -- Consecutive plugin failures and timeouts; no plugin is called before `plugin_retry_at`.
    plugin_failures BIGINT NOT NULL,
    plugin_timeouts BIGINT NOT NULL,
    plugin_retry_at BIGINT,
    -- The `seq` of the campaign's last journal entry.
    journal_seq BIGINT NOT NULL,
    started_at BIGINT,
    ended_at BIGINT,
    -- When the next tick is due without an event.
    wake_at BIGINT,
    -- Fencing token, incremented by every lease.
    fence BIGINT NOT NULL,
    lease_owner {{text}},
    lease_until BIGINT,
    PRIMARY KEY (tenant_id, campaign_id),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaigns (tenant_id, id)
);

CREATE INDEX campaign_runs_by_wake ON campaign_runs (wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX campaign_runs_by_lease ON campaign_runs (lease_until) WHERE lease_until IS NOT NULL;
CREATE INDEX campaign_runs_by_status ON campaign_runs (tenant_id, status, campaign_id);

-- A transaction locks this row before it changes the campaign's waves, wave_failures or campaign_durations.
CREATE TABLE campaign_counters (
    tenant_id BIGINT NOT NULL,
    campaign_id BIGINT NOT NULL,
    -- Open updates of the waves.
    open_updates BIGINT NOT NULL,
    -- Ended updates of the waves that a rollback has not processed.
    rollback_pending BIGINT NOT NULL,
    -- Rollback updates by outcome, and devices that should be rolled back and got no rollback update.
    open_rollbacks BIGINT NOT NULL,
    rolled_back BIGINT NOT NULL,
    rollback_failed BIGINT NOT NULL,
    rollback_impossible BIGINT NOT NULL,
    pinned BIGINT NOT NULL,
    already_rolling_back BIGINT NOT NULL,
    last_progress_at BIGINT,
    -- Dirty flag: since when an event waits for a tick. Acquiring the lease clears it.
    dirty_since BIGINT,
    PRIMARY KEY (tenant_id, campaign_id),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaigns (tenant_id, id)
);

CREATE INDEX campaign_counters_dirty ON campaign_counters (dirty_since) WHERE dirty_since IS NOT NULL;

CREATE TABLE campaign_states (
    tenant_id BIGINT NOT NULL,
    campaign_id BIGINT NOT NULL,
    strategy_state {{blob}} NOT NULL,
    -- One state for each policy, in the order of the specification: its length as u32, little endian, then its bytes.
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
    -- How many devices the strategy released, and how many of them were admitted: got an update or were skipped.
    released BIGINT NOT NULL,
    admitted BIGINT NOT NULL,
    -- Devices by state; the remaining ones are pending.
    offered BIGINT NOT NULL,
    in_progress BIGINT NOT NULL,
    completed BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    timed_out BIGINT NOT NULL,
    cancelled BIGINT NOT NULL,
    rejected BIGINT NOT NULL,
    -- Failures that an operator accepted after the failure threshold had stopped the campaign.
    accepted_failures BIGINT NOT NULL,
    opened_at BIGINT,
    last_progress_at BIGINT,
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

-- Histogram of the time from offer to end.
CREATE TABLE campaign_durations (
    tenant_id BIGINT NOT NULL,
    campaign_id BIGINT NOT NULL,
    bucket BIGINT NOT NULL,
    updates BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, campaign_id, bucket),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaigns (tenant_id, id)
);

-- The devices of each wave in the order in which they are offered the update: device keys as i64, little endian, in chunks
-- of a fixed number, see host/store/src/blob.rs.
CREATE TABLE wave_members (
    tenant_id BIGINT NOT NULL,
    campaign_id BIGINT NOT NULL,
    wave BIGINT NOT NULL,
    chunk BIGINT NOT NULL,
    members {{blob}} NOT NULL,
    PRIMARY KEY (tenant_id, campaign_id, wave, chunk),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaigns (tenant_id, id)
);

-- All devices that the campaign selected when it started, ordered by key: key, class, wave and position, see
-- host/store/src/blob.rs.
CREATE TABLE campaign_devices (
    tenant_id BIGINT NOT NULL,
    campaign_id BIGINT NOT NULL,
    first_device_key BIGINT NOT NULL,
    slots {{blob}} NOT NULL,
    PRIMARY KEY (tenant_id, campaign_id, first_device_key),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaigns (tenant_id, id)
);

CREATE TABLE campaign_classes (
    tenant_id BIGINT NOT NULL,
    campaign_id BIGINT NOT NULL,
    class BIGINT NOT NULL,
    -- JSON
    class_key {{text}} NOT NULL,
    devices BIGINT NOT NULL,
    -- Null: the class is included.
    exclusion_reason {{text}},
    PRIMARY KEY (tenant_id, campaign_id, class),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaigns (tenant_id, id)
);

-- Devices that a campaign skipped when their turn came; they count as cancelled.
CREATE TABLE skipped_devices (
    tenant_id BIGINT NOT NULL,
    campaign_id BIGINT NOT NULL,
    device_key BIGINT NOT NULL,
    wave BIGINT NOT NULL,
    -- pinned, mode, feed or superseded
    reason {{text}} NOT NULL,
    at BIGINT NOT NULL,
    -- The device changed, so that the reason may not hold any more: the next tick checks it.
    needs_recheck INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, campaign_id, device_key),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaigns (tenant_id, id),
    FOREIGN KEY (tenant_id, device_key) REFERENCES devices (tenant_id, id) ON DELETE CASCADE
);

CREATE INDEX skipped_devices_by_device ON skipped_devices (tenant_id, device_key);
CREATE INDEX skipped_devices_to_recheck ON skipped_devices (tenant_id, campaign_id, device_key)
    WHERE needs_recheck = 1;

CREATE TABLE journal (
    tenant_id BIGINT NOT NULL,
    campaign_id BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    kind {{text}} NOT NULL,
    at BIGINT NOT NULL,
    plugin {{text}} NOT NULL,
    revision {{text}},
    input_digest {{text}},
    fuel BIGINT NOT NULL,
    duration_ns BIGINT NOT NULL,
    outcome {{text}} NOT NULL,
    -- JSON: list of sentences.
    explain {{text}} NOT NULL,
    applied BIGINT NOT NULL,
    -- The input and output of the call, as the sandbox recorded them. They are the last columns, so that lists skip them.
    input {{blob}} NOT NULL,
    output {{blob}} NOT NULL,
    PRIMARY KEY (tenant_id, campaign_id, seq),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaigns (tenant_id, id)
);
