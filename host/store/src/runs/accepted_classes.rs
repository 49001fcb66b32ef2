use tidegate_core::plugin::ClassKey;
use tidegate_engine::ports::{RunRef, StoreError};

use crate::{
    campaigns::json::ClassJson,
    database::Database,
    error::failed,
    rows::{RowExt as _, row_error},
};

const READ: &str = "read the accepted classes of a campaign";

pub(crate) async fn accepted_classes(
    database: &Database,
    run: RunRef,
) -> Result<Vec<ClassKey>, StoreError> {
    let mut tx = database.read_single().await?;
    let rows = sqlx::query(
        "SELECT class_key FROM campaign_classes \
         WHERE tenant_id = $1 AND campaign_id = $2 AND exclusion_reason IS NULL",
    )
    .bind(run.tenant.0)
    .bind(run.campaign.0)
    .fetch_all(tx.conn())
    .await
    .map_err(failed(READ))?;
    rows.iter()
        .map(|row| row.json::<ClassJson>("class_key").map(ClassKey::from))
        .collect::<Result<_, _>>()
        .map_err(row_error(READ))
}
