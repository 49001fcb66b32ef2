-- Firmware, its modules and their files.

CREATE TABLE firmware (
    id {{id}},
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    name {{text}} NOT NULL,
    version {{text}} NOT NULL,
    -- tidegate_core::version::sort_key of `version`.
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

-- The device models that a firmware names as supported, unless it is deleted; '' stands for any model.
CREATE TABLE firmware_models (
    tenant_id BIGINT NOT NULL,
    firmware_id BIGINT NOT NULL,
    model {{text}} NOT NULL,
    -- Neither a beta nor a pre-release.
    is_release INTEGER NOT NULL,
    -- Copy of firmware.version_key.
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
    -- JSON: pairs of key and value, in order.
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

-- Garbage collection looks for references to a file in all tenants.
CREATE INDEX artifacts_by_sha256 ON artifacts (sha256);
