//! The differences between the SQL of the two databases.

use std::borrow::Cow;

use tidegate_engine::ports::StoreError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

/// The type of a column in [`Dialect::json_rows`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ColumnType {
    Int,
    Text,
}

impl Dialect {
    pub(crate) fn from_url(url: &str) -> Result<Self, StoreError> {
        let scheme = url.split(':').next().unwrap_or_default();
        match scheme {
            // Each connection would open its own database.
            "sqlite" if url.contains(":memory:") || url.contains("mode=memory") => {
                Err(invalid_url(
                    "an in-memory database is not supported: every connection would have its own",
                ))
            }
            "sqlite" => Ok(Self::Sqlite),
            "postgres" | "postgresql" => Ok(Self::Postgres),
            _ => Err(invalid_url(
                "the database URL must begin with `sqlite:` or `postgres:`",
            )),
        }
    }

    /// Suffix of a SELECT: locks its rows against changes by others until the transaction ends.
    pub(crate) fn for_update(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR UPDATE",
        }
    }

    /// Suffix of a SELECT: locks its rows in the order of this column, as all transactions do that lock several.
    pub(crate) fn ordered_for_update(self, column: &str) -> String {
        match self {
            Self::Sqlite => String::new(),
            Self::Postgres => format!(" ORDER BY {column} FOR UPDATE"),
        }
    }

    /// Suffix of a SELECT: locks its rows against changes until the transaction ends; others may still refer to them.
    pub(crate) fn for_share(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR SHARE",
        }
    }

    /// A table with the column `value`: the strings of a JSON array. `json` is a parameter or a column.
    pub(crate) fn json_texts(self, json: &str) -> String {
        match self {
            Self::Sqlite => format!("(SELECT value FROM json_each({json})) AS texts"),
            Self::Postgres => {
                format!("json_array_elements_text(CAST({json} AS json)) AS texts(value)")
            }
        }
    }

    /// A table with the column `value`: the integers of a JSON array.
    pub(crate) fn json_numbers(self, json: &str) -> String {
        match self {
            Self::Sqlite => format!("(SELECT value FROM json_each({json})) AS numbers"),
            Self::Postgres => format!(
                "(SELECT CAST(item AS BIGINT) AS value \
                 FROM json_array_elements_text(CAST({json} AS json)) AS items(item)) AS numbers"
            ),
        }
    }

    /// A condition: the integer `column`, which is the first column of an index, is in a JSON array. Unlike a join
    /// with [`Self::json_numbers`], it makes PostgreSQL use that index even without statistics of the table. The
    /// array is a subquery: PostgreSQL would otherwise parse it for every row of a plan that uses another index, and
    /// its length would raise the estimated cost of this one.
    pub(crate) fn key_in_json(self, column: &str, json: &str) -> String {
        match self {
            Self::Sqlite => format!("{column} IN (SELECT value FROM json_each({json}))"),
            Self::Postgres => {
                let array = format!("CAST(translate({json}, '[]', '{{}}') AS BIGINT[])");
                format!("{column} = ANY (CAST((SELECT {array}) AS BIGINT[]))")
            }
        }
    }

    /// Suffix of the condition of an `UPDATE .. FROM` [`Self::json_rows`] whose rows are joined by `column`.
    /// PostgreSQL needs [`Self::key_in_json`] to find them quickly; it would slow SQLite down.
    pub(crate) fn joined_key_in_json(self, column: &str, json: &str) -> String {
        match self {
            Self::Sqlite => format!("{json} IS NOT NULL"),
            Self::Postgres => self.key_in_json(column, json),
        }
    }

    /// The member of this name of a JSON object, as a text.
    pub(crate) fn json_member(self, json: &str, name: &str) -> String {
        match self {
            Self::Sqlite => format!("({json} ->> '$.{name}')"),
            Self::Postgres => format!("(CAST({json} AS json) ->> '{name}')"),
        }
    }

    /// The table `name` with a row for each object of a JSON array; the members are the columns. It writes a batch in
    /// one statement: `INSERT INTO .. SELECT .. FROM {rows}`.
    pub(crate) fn json_rows(
        self,
        name: &str,
        json: &str,
        columns: &[(&str, ColumnType)],
    ) -> String {
        let list = |column: &dyn Fn(&str, ColumnType) -> String| {
            let columns: Vec<_> = columns
                .iter()
                .map(|(name, kind)| column(name, *kind))
                .collect();
            columns.join(", ")
        };
        match self {
            Self::Sqlite => {
                let columns = list(&|column, _| format!("value ->> '$.{column}' AS {column}"));
                // Each reference to the `value` of `json_each` would write the object as text again.
                format!("(SELECT {columns} FROM jsonb_each({json})) AS {name}")
            }
            Self::Postgres => {
                let columns = list(&|column, kind| match kind {
                    ColumnType::Int => format!("{column} BIGINT"),
                    ColumnType::Text => format!("{column} TEXT"),
                });
                format!("json_to_recordset(CAST({json} AS json)) AS {name}({columns})")
            }
        }
    }

    /// These columns as a JSON array. Arrays may be columns of others.
    pub(crate) fn json_array(self, columns: &str) -> String {
        match self {
            Self::Sqlite => format!("json_array({columns})"),
            Self::Postgres => format!("json_build_array({columns})"),
        }
    }

    /// A [`Self::json_array`] as a text.
    pub(crate) fn json_text(self, array: &str) -> String {
        match self {
            Self::Sqlite => array.to_owned(),
            Self::Postgres => format!("CAST({array} AS TEXT)"),
        }
    }

    /// A statement that reads a [`Self::json_array`] of each row of `from`, all in one text.
    pub(crate) fn json_of_rows(self, array: &str, from: &str) -> String {
        match self {
            Self::Sqlite => format!("SELECT json_group_array({array}) FROM {from}"),
            // The inner statement locks rows, which one that aggregates cannot.
            Self::Postgres => format!(
                "SELECT CAST(COALESCE(json_agg(fields), '[]') AS TEXT) \
                 FROM (SELECT {array} AS fields FROM {from}) AS selected"
            ),
        }
    }

    /// A condition: the text matches a pattern from [`Self::pattern`], which is bound to the parameter.
    /// Case-sensitive.
    pub(crate) fn matches(self, text: &str, parameter: &str) -> String {
        match self {
            Self::Sqlite => format!("{text} GLOB {parameter}"),
            Self::Postgres => format!("{text} LIKE {parameter}"),
        }
    }

    /// A pattern for [`Self::matches`]: these texts, with any run of characters between them.
    pub(crate) fn pattern(self, parts: &[String]) -> String {
        let any = match self {
            Self::Sqlite => "*",
            Self::Postgres => "%",
        };
        let escaped: Vec<_> = parts.iter().map(|part| self.escaped(part)).collect();
        escaped.join(any)
    }

    /// A text without special characters in a pattern.
    fn escaped(self, text: &str) -> String {
        let mut escaped = String::with_capacity(text.len() + 8);
        for c in text.chars() {
            match (self, c) {
                (Self::Sqlite, '?' | '[' | '*') => {
                    escaped.push('[');
                    escaped.push(c);
                    escaped.push(']');
                }
                (Self::Postgres, '%' | '_' | '\\') => {
                    escaped.push('\\');
                    escaped.push(c);
                }
                _ => escaped.push(c),
            }
        }
        escaped
    }

    /// Replaces the placeholders in a migration.
    ///
    /// `{{text}}` is a text that is compared by its bytes, independent of the database's locale. `{{id}}` is a
    /// generated key that is never reused, `{{id32}}` one that fits a signed 32-bit integer. `{{blob}}` is bytes.
    /// `{{without_rowid}}`, after a table, makes its primary key the table itself where that is possible.
    /// `{{postgres}}` begins a line that only PostgreSQL executes.
    pub(crate) fn migration(self, text: &str) -> String {
        let tokens = match self {
            Self::Sqlite => [
                ("{{id}}", "INTEGER PRIMARY KEY AUTOINCREMENT"),
                ("{{id32}}", "INTEGER PRIMARY KEY AUTOINCREMENT"),
                ("{{text}}", "TEXT"),
                ("{{blob}}", "BLOB"),
                ("{{without_rowid}}", " WITHOUT ROWID"),
                ("{{postgres}}", "-- "),
            ],
            Self::Postgres => [
                (
                    "{{id}}",
                    "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
                ),
                (
                    "{{id32}}",
                    "INTEGER GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
                ),
                ("{{text}}", "TEXT COLLATE \"C\""),
                ("{{blob}}", "BYTEA"),
                ("{{without_rowid}}", ""),
                ("{{postgres}}", ""),
            ],
        };
        tokens
            .iter()
            .fold(text.to_owned(), |text, (token, meaning)| {
                text.replace(token, meaning)
            })
    }
}

/// Replaces U+0000 by U+FFFD, because PostgreSQL cannot store it. Applied to all external text that is bound or
/// written to JSON.
pub(crate) fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        text.replace('\0', "\u{FFFD}").into()
    } else {
        text.into()
    }
}

fn invalid_url(why: &'static str) -> StoreError {
    StoreError::Internal {
        context: "parse the database URL",
        source: why.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_of_a_pattern_have_no_special_characters() {
        let parts = ["a".to_owned(), r"b?[c]_%*\".to_owned()];
        assert_eq!(Dialect::Sqlite.pattern(&parts), r"a*b[?][[]c]_%[*]\");
        assert_eq!(Dialect::Postgres.pattern(&parts), r"a%b?[c]\_\%*\\");
    }

    #[test]
    fn an_address_names_a_supported_database() {
        assert!(matches!(
            Dialect::from_url("sqlite:tide.db"),
            Ok(Dialect::Sqlite)
        ));
        assert!(matches!(
            Dialect::from_url("postgres://db/tide"),
            Ok(Dialect::Postgres)
        ));
        for bad in ["", "tide.db", "mysql://db/tide", "sqlite::memory:"] {
            assert!(Dialect::from_url(bad).is_err(), "{bad}");
        }
    }
}
