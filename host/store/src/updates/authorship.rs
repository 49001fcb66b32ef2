//! The authors of an update as JSON, which SQL does not read.

use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use tidegate_engine::ports::{StoreError, UpdateAuthorship};

use crate::{
    dialect::storable,
    rows::{RowError, RowExt as _, to_json},
};

const COLUMN: &str = "authorship";

#[derive(Serialize, Deserialize)]
struct AuthorshipJson {
    authors: Vec<String>,
    is_bulk: bool,
}

pub(super) fn to_text(authorship: Option<&UpdateAuthorship>) -> Result<Option<String>, StoreError> {
    let json = authorship.map(|authorship| AuthorshipJson {
        authors: authorship
            .authors
            .iter()
            .map(|author| storable(author).into_owned())
            .collect(),
        is_bulk: authorship.is_bulk,
    });
    json.map(|json| to_json(&json)).transpose()
}

pub(super) fn from_row(row: &AnyRow) -> Result<Option<UpdateAuthorship>, RowError> {
    let json: Option<AuthorshipJson> = row.json_optional(COLUMN)?;
    Ok(json.map(|AuthorshipJson { authors, is_bulk }| UpdateAuthorship { authors, is_bulk }))
}
