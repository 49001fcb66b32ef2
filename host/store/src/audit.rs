//! The audit trail: who changed what, and how. A row is written in the transaction of its change.

use serde_json::{Map, Value};
use tidegate_core::Named as _;
use tidegate_engine::{Ctx, ports::StoreError};

use crate::{database::Tx, dialect::storable, error::failed, rows::to_json};

/// Maximum length of a stored request id, in characters; clients can choose ids over HTTP, up to 128.
const MAX_REQUEST_ID: usize = 200;
/// Maximum number of resources that a row names.
pub(crate) const MAX_NAMED: usize = 100;

/// A change of one resource, or of many of the same kind.
#[derive(Debug)]
pub(crate) struct AuditEntry {
    /// The kind of resource and the verb: `campaign.start`.
    pub(crate) action: &'static str,
    pub(crate) resource_kind: &'static str,
    /// None: many resources.
    pub(crate) resource_id: Option<String>,
    /// A JSON object of the changed fields; null: the resource did not exist.
    pub(crate) before: Value,
    /// A JSON object of the changed fields; null: the resource does not exist any more.
    pub(crate) after: Value,
}

impl AuditEntry {
    /// A change of one resource. The kind of the resource is the first part of the action.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "ids are numbers and borrowed texts"
    )]
    pub(crate) fn new(
        action: &'static str,
        id: impl ToString,
        before: Value,
        after: Value,
    ) -> Self {
        let kind = action.split_once('.').map_or(action, |(kind, _)| kind);
        Self {
            action,
            resource_kind: kind,
            resource_id: Some(id.to_string()),
            before,
            after,
        }
    }

    /// A change of one resource, without the fields that stay equal.
    pub(crate) fn of_difference(
        action: &'static str,
        id: impl ToString,
        mut before: Value,
        mut after: Value,
    ) -> Self {
        if let (Value::Object(before), Value::Object(after)) = (&mut before, &mut after) {
            remove_equal(before, after);
        }
        Self::new(action, id, before, after)
    }

    /// Whether nothing changed.
    fn is_empty(&self) -> bool {
        self.before == self.after
    }
}

/// Removes the fields that are equal in both, also from inner objects.
fn remove_equal(before: &mut Map<String, Value>, after: &mut Map<String, Value>) {
    before.retain(|key, old| match (old, after.get_mut(key)) {
        (Value::Object(old), Some(Value::Object(new))) => {
            remove_equal(old, new);
            let differs = !(old.is_empty() && new.is_empty());
            if !differs {
                after.remove(key);
            }
            differs
        }
        (old, Some(new)) if *old == *new => {
            after.remove(key);
            false
        }
        _ => true,
    });
}

/// Writes a row, unless nothing changed.
pub(crate) async fn record(tx: &mut Tx, ctx: &Ctx, entry: AuditEntry) -> Result<(), StoreError> {
    if entry.is_empty() {
        return Ok(());
    }
    let json = |value: &Value| (!value.is_null()).then(|| to_json(value)).transpose();
    let request_id: String = ctx.request_id.chars().take(MAX_REQUEST_ID).collect();
    sqlx::query(
        "INSERT INTO audit (tenant_id, at, actor_kind, actor, role, request_id, action, resource_kind, resource_id, \
         before_json, after_json) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(ctx.tenant.0)
    .bind(ctx.now.0)
    .bind(ctx.actor.kind.as_str())
    .bind(storable(&ctx.actor.name).into_owned())
    .bind(ctx.role.as_str())
    .bind(storable(&request_id).into_owned())
    .bind(entry.action)
    .bind(entry.resource_kind)
    .bind(entry.resource_id.map(|id| storable(&id).into_owned()))
    .bind(json(&entry.before)?)
    .bind(json(&entry.after)?)
    .execute(tx.conn())
    .await
    .map_err(failed("write the audit trail"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_differences_are_kept() {
        let difference = |before, after| {
            let entry = AuditEntry::of_difference("device.change", "a", before, after);
            (entry.is_empty(), entry.before, entry.after)
        };
        let before = json!({"name": "a", "pinned": false, "labels": {"x": "1", "y": "2"}});
        let after = json!({"name": "a", "pinned": true, "labels": {"x": "1", "z": "3"}});
        assert_eq!(
            difference(before.clone(), after),
            (
                false,
                json!({"pinned": false, "labels": {"y": "2"}}),
                json!({"pinned": true, "labels": {"z": "3"}})
            )
        );
        assert!(difference(before.clone(), before).0);
    }

    #[test]
    fn the_action_names_the_kind_of_resource() {
        let entry = AuditEntry::new("campaign.start", 7, Value::Null, json!({}));
        assert_eq!(entry.resource_kind, "campaign");
        assert_eq!(entry.resource_id.as_deref(), Some("7"));
    }
}
