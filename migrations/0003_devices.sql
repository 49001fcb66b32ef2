-- Devices, what they report, and what operators record about them.
--
-- `device_id` is the identifier that the device and the operators use. The tables that refer to a device hold its row key,
-- `device_key`.

CREATE TABLE devices (
    id {{id}},
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    device_id {{text}} NOT NULL,
    name {{text}} NOT NULL,
    token_sha256 {{text}},
    -- The token before the current one, valid until the current one is used or until `old_token_until`.
    old_token_sha256 {{text}},
    old_token_until BIGINT,
    -- Copies of the attributes that the server interprets. The `_key` columns are tidegate_core::version::sort_key of
    -- their neighbours.
    hw_model {{text}},
    hw_revision {{text}},
    hw_revision_key {{text}},
    sw_version {{text}},
    sw_version_key {{text}},
    state {{text}} NOT NULL,
    -- rollout, latest or manual
    mode {{text}} NOT NULL DEFAULT 'rollout',
    pinned INTEGER NOT NULL DEFAULT 0,
    feed {{text}},
    -- Whether the next poll asks the device for its attributes.
    wants_attributes INTEGER NOT NULL,
    installed_firmware_id BIGINT,
    -- The version of the last completed update.
    expected_version {{text}},
    -- Since when the device reports another version than `expected_version`.
    drifted_at BIGINT,
    -- The last `seq` in device_attribute_changes.
    attribute_change_seq BIGINT NOT NULL DEFAULT 0,
    -- An update of this device. No foreign key: the table `updates` refers to this one.
    installed_update_id INTEGER,
    -- Automatic confirmation of all updates: since when, by whom and why.
    auto_confirm_at BIGINT,
    auto_confirm_by {{text}},
    auto_confirm_remark {{text}},
    -- The device's own poll interval; null: the tenant's.
    polling_seconds BIGINT,
    last_seen BIGINT,
    -- The IP address of the last poll, if the tenant tracks addresses.
    address {{text}},
    created_at BIGINT NOT NULL,
    UNIQUE (tenant_id, id),
    UNIQUE (tenant_id, device_id),
    FOREIGN KEY (tenant_id, installed_firmware_id) REFERENCES firmware (tenant_id, id)
);

CREATE TABLE device_attributes (
    tenant_id BIGINT NOT NULL,
    device_key BIGINT NOT NULL,
    attribute_key {{text}} NOT NULL,
    value {{text}} NOT NULL,
    PRIMARY KEY (tenant_id, device_key, attribute_key),
    FOREIGN KEY (tenant_id, device_key) REFERENCES devices (tenant_id, id) ON DELETE CASCADE
);

CREATE INDEX device_attributes_by_value ON device_attributes (tenant_id, attribute_key, value);
-- A batch of reports reads the attributes of many devices in one statement.
CREATE INDEX device_attributes_by_device ON device_attributes (device_key);

CREATE TABLE device_groups (
    tenant_id BIGINT NOT NULL,
    device_key BIGINT NOT NULL,
    name {{text}} NOT NULL,
    PRIMARY KEY (tenant_id, device_key, name),
    FOREIGN KEY (tenant_id, device_key) REFERENCES devices (tenant_id, id) ON DELETE CASCADE
);

CREATE INDEX device_groups_by_name ON device_groups (tenant_id, name);

CREATE TABLE device_labels (
    tenant_id BIGINT NOT NULL,
    device_key BIGINT NOT NULL,
    label_key {{text}} NOT NULL,
    value {{text}} NOT NULL,
    PRIMARY KEY (tenant_id, device_key, label_key),
    FOREIGN KEY (tenant_id, device_key) REFERENCES devices (tenant_id, id) ON DELETE CASCADE
);

-- Changes of reported attributes; a bounded number is kept for each device.
CREATE TABLE device_attribute_changes (
    tenant_id BIGINT NOT NULL,
    device_key BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    -- The `seq` of the first change of the same report.
    report_seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    -- merge, replace or remove
    mode {{text}} NOT NULL,
    attribute_key {{text}} NOT NULL,
    value_before {{text}},
    value_after {{text}},
    PRIMARY KEY (tenant_id, device_key, seq),
    FOREIGN KEY (tenant_id, device_key) REFERENCES devices (tenant_id, id) ON DELETE CASCADE
);

-- Dirty flags: a tenant is dirty, and its devices in mode `latest` are checked for newer firmware, while `changes` exceeds
-- `processed`.
CREATE TABLE latest_dirty_flags (
    tenant_id BIGINT NOT NULL PRIMARY KEY REFERENCES tenants (id),
    -- Number of events that may have outdated a device.
    changes BIGINT NOT NULL,
    -- The value of `changes` before the last completed check.
    processed BIGINT NOT NULL
);
