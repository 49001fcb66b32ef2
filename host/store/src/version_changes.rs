use sqlx::any::AnyRow;
use tidegate_core::{time::Timestamp, version_changes::VersionChanges};

use crate::rows::{RowError, RowExt as _};

/// Reads the columns `version_hour_at`, `version_changes` and `counted_version` of a device. Only an unstable version has
/// the last one.
pub(crate) fn from_row(row: &AnyRow) -> Result<VersionChanges, RowError> {
    let count: i64 = row.take("version_changes")?;
    Ok(VersionChanges {
        hour_at: Timestamp(row.take("version_hour_at")?),
        count: u32::try_from(count).map_err(|_| RowError::OutOfRange {
            column: "version_changes",
            value: count,
        })?,
        is_unstable: row.take::<Option<&str>>("counted_version")?.is_some(),
    })
}
