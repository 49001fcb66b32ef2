//! Rows that are read as one JSON array instead of a value for each column. sqlx copies a value four times on its way from
//! SQLite, so the columns of an update cost more than the statement that reads them.

use std::{fmt, marker::PhantomData, str::FromStr};

use hex::FromHex;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error, Unexpected, Visitor},
};
use serde_path_to_error::Segment;
use sqlx::any::AnyRow;

use crate::{
    dialect::Dialect,
    rows::{RowError, RowExt as _},
};

/// A struct whose fields are columns of a table. [`json_row!`] implements it.
pub(crate) trait JsonRow: DeserializeOwned {
    /// The names of the fields, in their order.
    const COLUMNS: &'static [&'static str];

    /// The columns of this table or alias as one text, for a `SELECT`.
    fn select(dialect: Dialect, table: &str) -> String {
        let columns = Self::COLUMNS.iter();
        let columns: Vec<_> = columns.map(|name| format!("{table}.{name}")).collect();
        dialect.json_array(&columns.join(", "))
    }

    /// Reads the result of [`Self::select`], which has this name.
    fn read(row: &AnyRow, name: &'static str) -> Result<Self, RowError> {
        let text: &str = row.take(name)?;
        serde_json::from_str(text).map_err(|_| invalid_field::<Self>(text, name))
    }
}

/// Defines a struct whose fields are the columns of the same names.
macro_rules! json_row {
    ($(#[$meta:meta])* $visible:vis struct $name:ident { $($field:ident: $type:ty,)+ }) => {
        $(#[$meta])*
        #[derive(serde::Deserialize)]
        $visible struct $name {
            $($visible $field: $type,)+
        }

        impl $crate::json_row::JsonRow for $name {
            const COLUMNS: &'static [&'static str] = &[$(stringify!($field)),+];
        }
    };
}

pub(crate) use json_row;

/// Reads it again, to name the column.
fn invalid_field<T: JsonRow>(text: &str, name: &'static str) -> RowError {
    let json = &mut serde_json::Deserializer::from_str(text);
    let read: Result<T, _> = serde_path_to_error::deserialize(json);
    let error = match read {
        Ok(_) => serde_json::Error::custom("characters after the array"),
        Err(error) => {
            let index = error.path().iter().find_map(|segment| match segment {
                Segment::Seq { index } => Some(*index),
                _ => None,
            });
            let column = index.and_then(|index| T::COLUMNS.get(index));
            let error = error.into_inner();
            return RowError::Json {
                column: column.copied().unwrap_or(name),
                error,
            };
        }
    };
    RowError::Json {
        column: name,
        error,
    }
}

/// A text that is the name of a value.
pub(crate) struct Name<T>(pub(crate) T);

/// 0 or 1.
pub(crate) struct Flag(pub(crate) bool);

/// A text of hexadecimal digits.
pub(crate) struct Hex<T>(pub(crate) T);

/// A text that contains JSON.
pub(crate) struct Json<T>(pub(crate) T);

impl<'de, T: FromStr> Deserialize<'de> for Name<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parse = |text: &str| text.parse().ok().map(Self);
        deserializer.deserialize_str(TextVisitor::new("a known name", parse))
    }
}

impl<'de, T: FromHex> Deserialize<'de> for Hex<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parse = |text: &str| T::from_hex(text).ok().map(Self);
        deserializer.deserialize_str(TextVisitor::new("hexadecimal digits", parse))
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Json<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parse = |text: &str| serde_json::from_str(text).ok().map(Self);
        deserializer.deserialize_str(TextVisitor::new("JSON of this column", parse))
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            0 => Ok(Self(false)),
            1 => Ok(Self(true)),
            other => Err(D::Error::invalid_value(
                Unexpected::Unsigned(other),
                &"0 or 1",
            )),
        }
    }
}

struct TextVisitor<T, P> {
    expected: &'static str,
    parse: P,
    parsed: PhantomData<T>,
}

impl<T, P: Fn(&str) -> Option<T>> TextVisitor<T, P> {
    fn new(expected: &'static str, parse: P) -> Self {
        Self {
            expected,
            parse,
            parsed: PhantomData,
        }
    }
}

impl<T, P: Fn(&str) -> Option<T>> Visitor<'_> for TextVisitor<T, P> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self.expected))
    }
}

#[cfg(test)]
mod tests {
    use tidegate_core::update::UpdateStatus;

    use super::*;
    use crate::testing::on_both;

    json_row! {
        #[expect(dead_code, reason = "only errors are of interest")]
        struct DamagedUpdate {
            id: i32,
            status: Name<UpdateStatus>,
            cancel_acknowledged: Flag,
            digest: Option<Hex<[u8; 2]>>,
            messages: Json<Vec<String>>,
        }
    }

    on_both! {
        async fn an_error_names_the_column(store) {
            for (values, expected) in [
                ("7, 'offered', 0, 'c0de', '[\"a \\\"word\\\"\"]'", None),
                ("7, 'offered', 1, NULL, '[]'", None),
                ("NULL, 'offered', 0, NULL, '[]'", Some("id")),
                ("3000000000, 'offered', 0, NULL, '[]'", Some("id")),
                ("7, 'burnt', 0, NULL, '[]'", Some("status")),
                ("7, 'offered', 2, NULL, '[]'", Some("cancel_acknowledged")),
                ("7, 'offered', 0, 'c0', '[]'", Some("digest")),
                ("7, 'offered', 0, NULL, '[1]'", Some("messages")),
            ] {
                let mut tx = store.database.read().await?;
                let columns = DamagedUpdate::COLUMNS.join(", ");
                let selected = DamagedUpdate::select(tx.dialect(), "u");
                let sql = format!(
                    "WITH u ({columns}) AS (SELECT {values}) SELECT {selected} AS fields FROM u"
                );
                let row = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_one(tx.conn()).await?;
                let column = match DamagedUpdate::read(&row, "fields") {
                    Err(RowError::Json { column, .. }) => Some(column),
                    other => other.err().map(|error| panic!("{error}")),
                };
                assert_eq!(column, expected, "{values}");
            }
        }
    }
}
