-- Why uploads of plugins were rejected is read from the audit trail.

CREATE INDEX audit_plugin_rejections ON audit (tenant_id, id) WHERE action = 'plugin.reject';
