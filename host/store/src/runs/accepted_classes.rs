use tidegate_core::{plugin::ClassKey, time::Timestamp};
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
) -> Result<Vec<(ClassKey, Timestamp)>, StoreError> {
    let mut tx = database.read_single().await?;
    let rows = sqlx::query(
        "SELECT c.class_key, COALESCE(c.checked_at, r.started_at, 0) AS checked_at FROM campaign_classes c \
         JOIN campaign_runs r ON r.tenant_id = c.tenant_id AND r.campaign_id = c.campaign_id \
         WHERE c.tenant_id = $1 AND c.campaign_id = $2 AND c.exclusion_reason IS NULL",
    )
    .bind(run.tenant.0)
    .bind(run.campaign.0)
    .fetch_all(tx.conn())
    .await
    .map_err(failed(READ))?;
    rows.iter()
        .map(|row| {
            let class = row.json::<ClassJson>("class_key")?;
            Ok((class.into(), Timestamp(row.take("checked_at")?)))
        })
        .collect::<Result<_, _>>()
        .map_err(row_error(READ))
}
