-- Tenants and who acts for them, devices, firmware, plugins, counters.
--
-- One text for SQLite and PostgreSQL; host/store/src/dialect.rs says what the words in braces become. Times are
-- milliseconds since 1970, flags are 0 or 1, digests and hashes are hexadecimal, lists and maps are JSON.

CREATE TABLE tenants (
    id {{id}},
    name {{text}} NOT NULL UNIQUE,
    -- JSON: what it set for itself, see tidegate-store's tenants/settings.rs
    settings {{text}} NOT NULL,
    settings_revision BIGINT NOT NULL,
    -- The one setting that SQL looks at: whether addresses of devices are kept.
    tracks_address INTEGER NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL
);

CREATE TABLE api_keys (
    sha256 {{text}} NOT NULL PRIMARY KEY,
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    user_name {{text}} NOT NULL,
    role {{text}} NOT NULL,
    expires_at BIGINT,
    created_at BIGINT NOT NULL
);

CREATE TABLE gateways (
    id {{id}},
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    name {{text}} NOT NULL,
    -- Of its token.
    sha256 {{text}} NOT NULL,
    -- The only devices that it speaks for are of this group, where one stands here.
    group_name {{text}},
    created_at BIGINT NOT NULL,
    last_used BIGINT,
    UNIQUE (tenant_id, sha256),
    UNIQUE (tenant_id, name)
);

-- Whose certificates devices may show.
CREATE TABLE device_authorities (
    id {{id}},
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    name {{text}} NOT NULL,
    -- Of the certificate.
    sha256 {{text}} NOT NULL,
    certificate {{blob}} NOT NULL,
    subject {{text}} NOT NULL,
    expires_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (tenant_id, sha256),
    UNIQUE (tenant_id, name)
);

CREATE TABLE firmware (
    id {{id}},
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    name {{text}} NOT NULL,
    version {{text}} NOT NULL,
    -- tidegate_core::version::sort_key
    version_key {{text}} NOT NULL,
    description {{text}} NOT NULL,
    device_model {{text}},
    manufacturer {{text}},
    min_hardware_version {{text}},
    max_hardware_version {{text}},
    tags {{text}} NOT NULL,
    metadata {{text}} NOT NULL,
    is_beta INTEGER NOT NULL,
    is_security_update INTEGER NOT NULL,
    changelog {{text}} NOT NULL,
    created_by {{text}} NOT NULL,
    created_at BIGINT NOT NULL,
    deleted_at BIGINT,
    UNIQUE (tenant_id, id)
);

CREATE UNIQUE INDEX firmware_once ON firmware (tenant_id, name, version, COALESCE(device_model, ''))
    WHERE deleted_at IS NULL;
CREATE INDEX firmware_by_version ON firmware (tenant_id, version_key);

-- Which models a firmware that is not deleted may be for, as far as it says so; '' is any.
CREATE TABLE firmware_models (
    tenant_id BIGINT NOT NULL,
    firmware_id BIGINT NOT NULL,
    model {{text}} NOT NULL,
    -- no beta, no pre-release
    is_release INTEGER NOT NULL,
    -- as in firmware
    version_key {{text}} NOT NULL,
    PRIMARY KEY (tenant_id, firmware_id, model),
    FOREIGN KEY (tenant_id, firmware_id) REFERENCES firmware (tenant_id, id)
);
CREATE INDEX firmware_models_by_version
    ON firmware_models (tenant_id, model, is_release, version_key, firmware_id);

CREATE TABLE modules (
    id {{id}},
    tenant_id BIGINT NOT NULL,
    firmware_id BIGINT NOT NULL,
    position INTEGER NOT NULL,
    part {{text}} NOT NULL,
    name {{text}} NOT NULL,
    version {{text}} NOT NULL,
    -- JSON: pairs of key and value, in order
    metadata {{text}} NOT NULL,
    is_encrypted INTEGER NOT NULL,
    UNIQUE (tenant_id, id),
    UNIQUE (tenant_id, firmware_id, position),
    FOREIGN KEY (tenant_id, firmware_id) REFERENCES firmware (tenant_id, id)
);

CREATE TABLE artifacts (
    tenant_id BIGINT NOT NULL,
    module_id BIGINT NOT NULL,
    filename {{text}} NOT NULL,
    position INTEGER NOT NULL,
    size BIGINT NOT NULL,
    sha1 {{text}} NOT NULL,
    md5 {{text}} NOT NULL,
    sha256 {{text}} NOT NULL,
    PRIMARY KEY (tenant_id, module_id, filename),
    FOREIGN KEY (tenant_id, module_id) REFERENCES modules (tenant_id, id)
);

CREATE TABLE devices (
    id {{id}},
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    device_id {{text}} NOT NULL,
    name {{text}} NOT NULL,
    token_sha256 {{text}},
    -- The token before, which opens the door until the new one was used or this time has come.
    old_token_sha256 {{text}},
    old_token_until BIGINT,
    -- The three that the host reads itself; the keys are tidegate_core::version::sort_key of their neighbours.
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
    wants_attributes INTEGER NOT NULL,
    installed_firmware_id BIGINT,
    -- The version of the last completed update, and since when the device reports another.
    expected_version {{text}},
    drifted_at BIGINT,
    -- How many changes of attributes were noted so far: the last of their numbers.
    attribute_changes BIGINT NOT NULL DEFAULT 0,
    -- An update of this device; its table comes later and refers to this one.
    installed_update_id INTEGER,
    -- Since when, by whom and why all of its updates are agreed to beforehand.
    auto_confirm_at BIGINT,
    auto_confirm_by {{text}},
    auto_confirm_remark {{text}},
    -- How often it is to poll, where it is told something of its own.
    polling_seconds BIGINT,
    last_seen BIGINT,
    -- From where it was last seen, where the tenant wants to know.
    address {{text}},
    created_at BIGINT NOT NULL,
    UNIQUE (tenant_id, id),
    UNIQUE (tenant_id, device_id),
    FOREIGN KEY (tenant_id, installed_firmware_id) REFERENCES firmware (tenant_id, id)
);

CREATE TABLE device_attributes (
    tenant_id BIGINT NOT NULL,
    device_id BIGINT NOT NULL,
    attribute_key {{text}} NOT NULL,
    value {{text}} NOT NULL,
    PRIMARY KEY (tenant_id, device_id, attribute_key),
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, id) ON DELETE CASCADE
);

CREATE INDEX device_attributes_by_value ON device_attributes (tenant_id, attribute_key, value);

CREATE TABLE device_groups (
    tenant_id BIGINT NOT NULL,
    device_id BIGINT NOT NULL,
    name {{text}} NOT NULL,
    PRIMARY KEY (tenant_id, device_id, name),
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, id) ON DELETE CASCADE
);

CREATE INDEX device_groups_by_name ON device_groups (tenant_id, name);

CREATE TABLE device_labels (
    tenant_id BIGINT NOT NULL,
    device_id BIGINT NOT NULL,
    label_key {{text}} NOT NULL,
    value {{text}} NOT NULL,
    PRIMARY KEY (tenant_id, device_id, label_key),
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, id) ON DELETE CASCADE
);

-- What changed when devices reported, the last so many of each device.
CREATE TABLE attribute_changes (
    tenant_id BIGINT NOT NULL,
    device_id BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    -- The `seq` of the first change of the same report.
    report BIGINT NOT NULL,
    at BIGINT NOT NULL,
    -- merge, replace or remove
    mode {{text}} NOT NULL,
    attribute_key {{text}} NOT NULL,
    value_before {{text}},
    value_after {{text}},
    PRIMARY KEY (tenant_id, device_id, seq),
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, id) ON DELETE CASCADE
);

CREATE TABLE plugins (
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    name {{text}} NOT NULL,
    kind {{text}} NOT NULL,
    PRIMARY KEY (tenant_id, name)
);

CREATE TABLE plugin_revisions (
    id {{id}},
    tenant_id BIGINT NOT NULL,
    plugin {{text}} NOT NULL,
    digest {{text}} NOT NULL,
    contract {{text}} NOT NULL,
    version {{text}} NOT NULL,
    summary {{text}} NOT NULL,
    config_schema {{text}} NOT NULL,
    state_schema BIGINT NOT NULL,
    metrics {{text}} NOT NULL,
    attributes {{text}} NOT NULL,
    size BIGINT NOT NULL,
    created_by {{text}} NOT NULL,
    created_at BIGINT NOT NULL,
    enabled INTEGER NOT NULL,
    calls BIGINT NOT NULL,
    failures BIGINT NOT NULL,
    fuel BIGINT NOT NULL,
    UNIQUE (tenant_id, digest),
    FOREIGN KEY (tenant_id, plugin) REFERENCES plugins (tenant_id, name)
);

CREATE INDEX plugin_revisions_by_age ON plugin_revisions (tenant_id, plugin, created_at);

CREATE TABLE tallies (
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    -- tidegate-store's tallies.rs says which there are, and what their keys are.
    kind {{text}} NOT NULL,
    tally_key {{text}} NOT NULL,
    n BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, kind, tally_key)
);
