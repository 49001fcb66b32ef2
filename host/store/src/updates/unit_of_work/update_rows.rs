//! Writes the changed columns of many rows. A column that did not change is left out: SQLite deletes and inserts the
//! entries of every index whose columns a statement sets, whether they change or not.

use std::{borrow::Cow, collections::BTreeMap, fmt::Write as _};

use serde::{Serialize, Serializer, ser::SerializeMap as _};
use tidegate_core::id::TenantId;
use tidegate_engine::ports::StoreError;

use crate::{
    database::Tx,
    dialect::{ColumnType, Dialect},
    rows::to_json,
};

/// The value of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ColumnValue<'a> {
    Int(Option<i64>),
    Text(Option<Cow<'a, str>>),
}

impl<'a> ColumnValue<'a> {
    pub(crate) fn int(value: impl Into<i64>) -> Self {
        Self::Int(Some(value.into()))
    }

    pub(crate) fn int_or_null(value: Option<impl Into<i64>>) -> Self {
        Self::Int(value.map(Into::into))
    }

    pub(crate) fn text(value: impl Into<Cow<'a, str>>) -> Self {
        Self::Text(Some(value.into()))
    }

    pub(crate) fn text_or_null(value: Option<impl Into<Cow<'a, str>>>) -> Self {
        Self::Text(value.map(Into::into))
    }

    pub(crate) fn into_owned(self) -> ColumnValue<'static> {
        match self {
            Self::Int(value) => ColumnValue::Int(value),
            Self::Text(value) => ColumnValue::Text(value.map(|text| text.into_owned().into())),
        }
    }

    fn column_type(&self) -> ColumnType {
        match self {
            Self::Int(_) => ColumnType::Int,
            Self::Text(_) => ColumnType::Text,
        }
    }
}

impl Serialize for ColumnValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Int(value) => value.serialize(serializer),
            Self::Text(value) => value.serialize(serializer),
        }
    }
}

/// The columns that are written, without `id`. Those of a table are always the same, in the same order; at most 64.
pub(crate) type Columns<'a> = Vec<(&'static str, ColumnValue<'a>)>;

/// A row to write.
pub(crate) struct ChangedRow<'a> {
    id: i64,
    columns: Columns<'a>,
    /// A bit for each column that changed.
    changed: u64,
}

impl<'a> ChangedRow<'a> {
    /// A row with these columns, all of which are written.
    pub(crate) fn of(id: i64, columns: Columns<'a>) -> Self {
        Self {
            id,
            changed: (0..columns.len()).fold(0, |mask, index| mask | 1 << index),
            columns,
        }
    }

    /// `None`: no column changed.
    pub(crate) fn new(id: i64, before: &Columns<'_>, after: Columns<'a>) -> Option<Self> {
        let pairs = before.iter().zip(&after).enumerate();
        let changed = pairs.filter(|(_, (before, after))| before != after);
        let changed = changed.fold(0, |mask, (index, _)| mask | 1 << index);
        (changed != 0).then_some(Self {
            id,
            columns: after,
            changed,
        })
    }
}

/// Updates rows of this table. Rows in which the same columns changed are written by one statement; on PostgreSQL, where a
/// statement costs a round trip and an unchanged column nothing, all rows are.
pub(crate) async fn update_rows(
    tx: &mut Tx,
    tenant: TenantId,
    table: &'static str,
    rows: Vec<ChangedRow<'_>>,
) -> Result<(), StoreError> {
    let union = rows.iter().fold(0, |mask, row| mask | row.changed);
    let mut by_changed: BTreeMap<u64, Vec<ChangedRow<'_>>> = BTreeMap::new();
    for row in rows {
        let written = match tx.dialect() {
            Dialect::Sqlite => row.changed,
            Dialect::Postgres => union,
        };
        by_changed.entry(written).or_default().push(row);
    }
    for (written, rows) in by_changed {
        let columns = written_columns(&rows[0], written);
        let sql = update_sql(tx, table, &columns);
        let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
        let rows: Vec<_> = rows.iter().map(|row| WrittenRow { row, written }).collect();
        let values = [
            tenant.0.into(),
            to_json(&rows)?.into(),
            to_json(&ids)?.into(),
        ];
        tx.execute_later("write changed rows", sql, values).await?;
    }
    Ok(())
}

fn is_written(written: u64, index: usize) -> bool {
    written >> index & 1 == 1
}

fn written_columns(row: &ChangedRow<'_>, written: u64) -> Vec<(&'static str, ColumnType)> {
    let columns = row.columns.iter().enumerate();
    let columns = columns.filter(|(index, _)| is_written(written, *index));
    let columns = columns.map(|(_, (name, value))| (*name, value.column_type()));
    std::iter::once(("id", ColumnType::Int))
        .chain(columns)
        .collect()
}

/// A row as an object of `id` and the written columns.
struct WrittenRow<'a> {
    row: &'a ChangedRow<'a>,
    written: u64,
}

impl Serialize for WrittenRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("id", &self.row.id)?;
        for (index, (name, value)) in self.row.columns.iter().enumerate() {
            if is_written(self.written, index) {
                object.serialize_entry(name, value)?;
            }
        }
        object.end()
    }
}

/// Updates the rows of the tenant `$1` as in the JSON `$2`, whose ids are `$3`. `columns` begins with `id`.
fn update_sql(tx: &Tx, table: &'static str, columns: &[(&'static str, ColumnType)]) -> String {
    let from = tx.dialect().json_rows("n", "$2", columns);
    let mut assignments = String::with_capacity(columns.len() * 48);
    for (column, _) in &columns[1..] {
        let comma = if assignments.is_empty() { "" } else { ", " };
        // Writing to a string does not fail.
        let _ = write!(assignments, "{comma}{column} = n.{column}");
    }
    let which = tx.joined_key_in_json(&format!("{table}.id"), "$3");
    // The unary plus keeps SQLite from scanning all rows of the tenant.
    format!(
        "UPDATE {table} SET {assignments} FROM {from} \
         WHERE +{table}.tenant_id = $1 AND {table}.id = n.id AND {which}"
    )
}
