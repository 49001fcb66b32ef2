use sqlx::{AssertSqlSafe, any::AnyRow};
use tidegate_core::time::Timestamp;
use tidegate_engine::ports::{AcceptedClass, RunRef, StoreError};

use crate::{
    campaigns::{intermediate, json::ClassJson},
    database::Database,
    error::failed,
    rows::{RowError, RowExt as _, row_error},
};

const READ: &str = "read the accepted classes of a campaign";

pub(crate) async fn accepted_classes(
    database: &Database,
    run: RunRef,
) -> Result<Vec<AcceptedClass>, StoreError> {
    let mut tx = database.read_single().await?;
    let sql = format!(
        "SELECT c.class_key, COALESCE(c.checked_at, r.started_at, 0) AS checked_at, {} FROM campaign_classes c \
         JOIN campaign_runs r ON r.tenant_id = c.tenant_id AND r.campaign_id = c.campaign_id {} \
         WHERE c.tenant_id = $1 AND c.campaign_id = $2 AND c.exclusion_reason IS NULL",
        intermediate::COLUMNS,
        intermediate::JOIN
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(run.tenant.0)
        .bind(run.campaign.0)
        .fetch_all(tx.conn())
        .await
        .map_err(failed(READ))?;
    let read = |row: &AnyRow| -> Result<AcceptedClass, RowError> {
        let class: ClassJson = row.json("class_key")?;
        Ok(AcceptedClass {
            class: class.into(),
            at: Timestamp(row.take("checked_at")?),
            intermediate: intermediate::from_row(row)?,
        })
    };
    rows.iter()
        .map(read)
        .collect::<Result<_, _>>()
        .map_err(row_error(READ))
}
