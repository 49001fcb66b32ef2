-- Names of plugins get a vendor: those of the built-in plugins become `tidegate/NAME`, all others `local/NAME`.

INSERT INTO plugins (tenant_id, name, kind)
SELECT tenant_id, CASE WHEN name IN
        ('blue-green', 'canary', 'failure-rate', 'hardware', 'immediate', 'latest', 'staged', 'timeout', 'version-path')
    THEN 'tidegate/' ELSE 'local/' END || name, kind
FROM plugins;

UPDATE plugin_revisions SET plugin = CASE WHEN plugin IN
        ('blue-green', 'canary', 'failure-rate', 'hardware', 'immediate', 'latest', 'staged', 'timeout', 'version-path')
    THEN 'tidegate/' ELSE 'local/' END || plugin;

DELETE FROM plugins WHERE name NOT LIKE '%/%';

-- JSON without spaces. Quotation marks in values are escaped, so only a member `plugin` is found.
UPDATE campaigns SET
    strategy = REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(
        strategy, '"plugin":"', '"plugin":"local/'),
        '"plugin":"local/blue-green"', '"plugin":"tidegate/blue-green"'),
        '"plugin":"local/canary"', '"plugin":"tidegate/canary"'),
        '"plugin":"local/failure-rate"', '"plugin":"tidegate/failure-rate"'),
        '"plugin":"local/hardware"', '"plugin":"tidegate/hardware"'),
        '"plugin":"local/immediate"', '"plugin":"tidegate/immediate"'),
        '"plugin":"local/latest"', '"plugin":"tidegate/latest"'),
        '"plugin":"local/staged"', '"plugin":"tidegate/staged"'),
        '"plugin":"local/timeout"', '"plugin":"tidegate/timeout"'),
        '"plugin":"local/version-path"', '"plugin":"tidegate/version-path"'),
    policies = REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(
        policies, '"plugin":"', '"plugin":"local/'),
        '"plugin":"local/blue-green"', '"plugin":"tidegate/blue-green"'),
        '"plugin":"local/canary"', '"plugin":"tidegate/canary"'),
        '"plugin":"local/failure-rate"', '"plugin":"tidegate/failure-rate"'),
        '"plugin":"local/hardware"', '"plugin":"tidegate/hardware"'),
        '"plugin":"local/immediate"', '"plugin":"tidegate/immediate"'),
        '"plugin":"local/latest"', '"plugin":"tidegate/latest"'),
        '"plugin":"local/staged"', '"plugin":"tidegate/staged"'),
        '"plugin":"local/timeout"', '"plugin":"tidegate/timeout"'),
        '"plugin":"local/version-path"', '"plugin":"tidegate/version-path"');

-- These tables are large. A name without a vendor is read as that of a built-in plugin, so only rows of others change.
UPDATE updates SET
    compatibility = REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(
        compatibility, '"plugin":"', '"plugin":"local/'),
        '"plugin":"local/blue-green"', '"plugin":"tidegate/blue-green"'),
        '"plugin":"local/canary"', '"plugin":"tidegate/canary"'),
        '"plugin":"local/failure-rate"', '"plugin":"tidegate/failure-rate"'),
        '"plugin":"local/hardware"', '"plugin":"tidegate/hardware"'),
        '"plugin":"local/immediate"', '"plugin":"tidegate/immediate"'),
        '"plugin":"local/latest"', '"plugin":"tidegate/latest"'),
        '"plugin":"local/staged"', '"plugin":"tidegate/staged"'),
        '"plugin":"local/timeout"', '"plugin":"tidegate/timeout"'),
        '"plugin":"local/version-path"', '"plugin":"tidegate/version-path"')
WHERE compatibility LIKE '%"chosen"%';

UPDATE journal SET plugin = 'local/' || plugin WHERE plugin NOT IN
    ('', 'blue-green', 'canary', 'failure-rate', 'hardware', 'immediate', 'latest', 'staged', 'timeout', 'version-path');
