//! Which devices can join a campaign, and which of their classes its policies have checked.

use std::collections::{BTreeSet, HashMap, HashSet};

use sqlx::AssertSqlSafe;
use tidegate_core::{id::DeviceKey, plugin::ClassKey};
use tidegate_engine::ports::{KnownClass, KnownClasses, Outsider, RunRef, StoreError};

use crate::{
    campaigns::{
        json::ClassJson,
        late_devices::{class_index, late_devices},
        membership::slots,
    },
    database::Tx,
    error::failed,
    rows::{RowExt as _, row_error, to_json},
    sql::SqlText,
};

/// Those of these devices that are no members and were not left out by the plan, ordered by key. Classes of excluded devices
/// are checked again once they have changed.
pub(crate) async fn outsiders(
    tx: &mut Tx,
    run: RunRef,
    devices: &BTreeSet<DeviceKey>,
) -> Result<Vec<Outsider>, StoreError> {
    let of_start = slots(tx, run, devices).await?.into_iter();
    let of_start: HashMap<_, _> = of_start.map(|slot| (slot.key, slot)).collect();
    let late = late_devices(tx, run, devices).await?;
    let mut outsiders = Vec::new();
    for key in devices {
        let excluded_as = match (late.get(key), of_start.get(key)) {
            (Some(late), _) if late.position.is_none() => Some(late.class),
            (None, Some(slot)) if slot.wave.is_none() => Some(slot.class),
            (None, None) => None,
            _ => continue,
        };
        outsiders.push(Outsider {
            device: *key,
            excluded_as,
        });
    }
    let classes = outsiders.iter().filter_map(|device| device.excluded_as);
    let accepted = accepted(tx, run, &classes.collect()).await?;
    let is_left_out = |class| accepted.contains(&class);
    outsiders.retain(|device| !device.excluded_as.is_some_and(is_left_out));
    Ok(outsiders)
}

/// Those of these classes that are not excluded.
async fn accepted(
    tx: &mut Tx,
    run: RunRef,
    classes: &BTreeSet<u32>,
) -> Result<HashSet<u32>, StoreError> {
    const READ: &str = "read classes of a campaign";
    static SQL: SqlText = SqlText::new(|dialect| {
        format!(
            "SELECT class FROM campaign_classes WHERE tenant_id = $1 AND campaign_id = $2 \
             AND exclusion_reason IS NULL AND class IN (SELECT value FROM {})",
            dialect.json_numbers("$3")
        )
    });
    if classes.is_empty() {
        return Ok(HashSet::new());
    }
    let rows = sqlx::query(SQL.of(tx.dialect()))
        .bind(run.tenant.0)
        .bind(run.campaign.0)
        .bind(to_json(classes)?)
        .fetch_all(tx.conn())
        .await
        .map_err(failed(READ))?;
    let classes = rows.iter().map(|row| class_index(row.take("class")?));
    classes.collect::<Result<_, _>>().map_err(row_error(READ))
}

/// Those of these classes that the policies of the campaign have checked.
pub(crate) async fn known_classes(
    tx: &mut Tx,
    run: RunRef,
    classes: &[ClassKey],
) -> Result<KnownClasses, StoreError> {
    const READ: &str = "read checked classes of a campaign";
    let keys = classes.iter().cloned().map(ClassJson::from);
    let keys: Vec<_> = keys
        .map(|class| to_json(&class))
        .collect::<Result<_, _>>()?;
    let which = tx.dialect().json_texts("$3");
    let sql = format!(
        "SELECT class, class_key, exclusion_reason FROM campaign_classes \
         WHERE tenant_id = $1 AND campaign_id = $2 AND is_unchecked = 0 \
         AND class_key IN (SELECT value FROM {which}) ORDER BY class DESC"
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(run.tenant.0)
        .bind(run.campaign.0)
        .bind(to_json(&keys)?)
        .fetch_all(tx.conn())
        .await
        .map_err(failed(READ))?;
    let known = rows.iter().map(|row| {
        let class = KnownClass {
            index: class_index(row.take("class")?)?,
            excluded: row.take("exclusion_reason")?,
        };
        Ok((row.json::<ClassJson>("class_key")?.into(), class))
    });
    let by_key: Result<_, _> = known.collect();
    Ok(KnownClasses {
        by_key: by_key.map_err(row_error(READ))?,
        count: next_class(tx, run).await?,
    })
}

/// The number of the next new class, which is the number of all classes.
pub(super) async fn next_class(tx: &mut Tx, run: RunRef) -> Result<u32, StoreError> {
    const READ: &str = "read the number of classes of a campaign";
    let row = sqlx::query(
        "SELECT COALESCE(MAX(class) + 1, 0) AS class FROM campaign_classes WHERE tenant_id = $1 AND campaign_id = $2",
    )
    .bind(run.tenant.0)
    .bind(run.campaign.0)
    .fetch_one(tx.conn())
    .await
    .map_err(failed(READ))?;
    let next = row.take("class").and_then(class_index);
    next.map_err(row_error(READ))
}
