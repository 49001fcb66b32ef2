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

/// Columns of a table. [`json_row!`] implements it for a struct.
pub(crate) trait JsonRow: DeserializeOwned {
    /// The columns of this table or alias as an array, for a `SELECT`.
    fn array(dialect: Dialect, table: &str) -> String;

    /// The name of the column at this place in nested arrays.
    fn column(place: &[usize]) -> Option<&'static str>;

    /// The columns of this table or alias as one text, for a `SELECT`.
    fn select(dialect: Dialect, table: &str) -> String {
        dialect.json_text(&Self::array(dialect, table))
    }

    /// A statement that reads these columns of all rows of `from`, which may have conditions and an order, as one text.
    fn select_all(dialect: Dialect, table: &str, from: &str) -> String {
        dialect.json_of_rows(&Self::array(dialect, table), from)
    }

    /// Reads the result of [`Self::select`], which has this name.
    fn read(row: &AnyRow, name: &'static str) -> Result<Self, RowError> {
        let text: &str = row.take(name)?;
        serde_json::from_str(text).map_err(|_| invalid_column::<Self, Self>(text, name, 0))
    }

    /// Reads the result of [`Self::select_all`].
    fn read_all(row: &AnyRow) -> Result<Vec<Self>, RowError> {
        let text: &str = row.take(0)?;
        serde_json::from_str(text).map_err(|_| invalid_column::<Self, Vec<Self>>(text, "rows", 1))
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

        impl $name {
            const COLUMNS: &'static [&'static str] = &[$(stringify!($field)),+];
        }

        impl $crate::json_row::JsonRow for $name {
            fn array(dialect: $crate::dialect::Dialect, table: &str) -> String {
                let columns = Self::COLUMNS.iter().map(|name| format!("{table}.{name}"));
                dialect.json_array(&columns.collect::<Vec<_>>().join(", "))
            }

            fn column(place: &[usize]) -> Option<&'static str> {
                Self::COLUMNS.get(*place.first()?).copied()
            }
        }
    };
}

pub(crate) use json_row;

/// Columns of the same row in two arrays.
impl<A: JsonRow, B: JsonRow> JsonRow for (A, B) {
    fn array(dialect: Dialect, table: &str) -> String {
        let (first, second) = (A::array(dialect, table), B::array(dialect, table));
        dialect.json_array(&format!("{first}, {second}"))
    }

    fn column(place: &[usize]) -> Option<&'static str> {
        match place.split_first()? {
            (0, place) => A::column(place),
            (_, place) => B::column(place),
        }
    }
}

/// Reads it as `T` again, to name the column: that of an `R` at this depth of arrays.
fn invalid_column<R: JsonRow, T: DeserializeOwned>(
    text: &str,
    name: &'static str,
    depth: usize,
) -> RowError {
    let json = &mut serde_json::Deserializer::from_str(text);
    let read: Result<T, _> = serde_path_to_error::deserialize(json);
    let (place, error) = match read {
        Ok(_) => (
            Vec::new(),
            serde_json::Error::custom("text after the array"),
        ),
        Err(error) => {
            let index = |segment: &Segment| match segment {
                Segment::Seq { index } => Some(*index),
                _ => None,
            };
            let place = error.path().iter().filter_map(index).skip(depth);
            (place.collect(), error.into_inner())
        }
    };
    RowError::Json {
        column: R::column(&place).unwrap_or(name),
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
                type Pair = (DamagedUpdate, DamagedUpdate);
                let mut tx = store.database.read().await?;
                let dialect = tx.dialect();
                let table = format!("WITH u ({}) AS (SELECT {values})", DamagedUpdate::COLUMNS.join(", "));
                let one = format!("{table} SELECT {} AS fields FROM u", DamagedUpdate::select(dialect, "u"));
                let one = sqlx::query(sqlx::AssertSqlSafe(one)).fetch_one(tx.conn()).await?;
                let all = format!("{table} {}", Pair::select_all(dialect, "u", "u"));
                let all = sqlx::query(sqlx::AssertSqlSafe(all)).fetch_one(tx.conn()).await?;
                let errors = [DamagedUpdate::read(&one, "fields").err(), Pair::read_all(&all).err()];
                for error in errors {
                    let column = error.map(|error| match error {
                        RowError::Json { column, .. } => column,
                        other => panic!("{other}"),
                    });
                    assert_eq!(column, expected, "{values}");
                }
                let none = Pair::select_all(dialect, "u", "u WHERE u.id IS NULL AND u.id IS NOT NULL");
                let none = format!("{table} {none}");
                let none = sqlx::query(sqlx::AssertSqlSafe(none)).fetch_one(tx.conn()).await?;
                assert_eq!(Pair::read_all(&none)?.len(), 0);
            }
        }
    }
}
