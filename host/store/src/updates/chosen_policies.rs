//! The revisions that updates name as the policies that an operator chose for them.

use tidegate_core::{
    id::{Digest, TenantId},
    update::UpdatePolicies,
};
use tidegate_engine::ports::StoreError;

use super::compatibility;
use crate::{
    database::Tx,
    error::failed,
    rows::{RowExt as _, row_error, to_json},
    sql::SqlText,
};

/// Number of updates that are read at once.
const PAGE: i64 = 1000;

/// Whether an open update names the revision among its policies. The condition of the statement finds every such update,
/// and others whose configs contain the digest.
pub(crate) async fn is_named_by_open_update(
    tx: &mut Tx,
    tenant: TenantId,
    digest: Digest,
) -> Result<bool, StoreError> {
    const READ: &str = "read the policies of open updates";
    let mut after = 0_i64;
    loop {
        let page = sqlx::query(
            "SELECT id, compatibility FROM updates WHERE tenant_id = $1 AND completed_at IS NULL \
             AND compatibility LIKE '%\"' || $2 || '\"%' AND id > $3 ORDER BY id LIMIT $4",
        )
        .bind(tenant.0)
        .bind(digest.to_string())
        .bind(after)
        .bind(PAGE)
        .fetch_all(tx.conn())
        .await
        .map_err(failed(READ))?;
        let Some(last) = page.last() else {
            return Ok(false);
        };
        after = last.take("id").map_err(row_error(READ))?;
        for row in &page {
            let basis = compatibility::from_row(row).map_err(row_error(READ))?;
            if let Some(UpdatePolicies::Chosen(chosen)) = basis.map(|basis| basis.policies)
                && chosen.iter().any(|policy| policy.revision == digest)
            {
                return Ok(true);
            }
        }
    }
}

/// Keeps the policies that an update names from being deleted until the transaction that creates it has ended; from then
/// on the open update does. An error if one was deleted already.
pub(crate) async fn keep_policies(
    tx: &mut Tx,
    tenant: TenantId,
    policies: Option<&UpdatePolicies>,
) -> Result<(), StoreError> {
    static SQL: SqlText = SqlText::new(|dialect| {
        let (named, lock) = (dialect.json_texts("$2"), dialect.for_share());
        format!(
            "SELECT digest FROM plugin_revisions WHERE tenant_id = $1 \
             AND digest IN (SELECT value FROM {named}){lock}"
        )
    });
    let Some(UpdatePolicies::Chosen(chosen)) = policies else {
        return Ok(());
    };
    let mut digests: Vec<_> = chosen
        .iter()
        .map(|policy| policy.revision.to_string())
        .collect();
    digests.sort_unstable();
    digests.dedup();
    let kept = sqlx::query(SQL.of(tx.dialect()))
        .bind(tenant.0)
        .bind(to_json(&digests)?)
        .fetch_all(tx.conn())
        .await
        .map_err(failed("keep the policies of an update"))?;
    if kept.len() < digests.len() {
        let message = "a policy of the update was deleted meanwhile";
        return Err(StoreError::Unavailable(message.to_owned()));
    }
    Ok(())
}
