use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tidegate_core::visible_text::visible_json;

use crate::{
    client::{RestClient, table},
    command::{PageArgs, listing, print, show},
};

/// Lists a page of a campaign's journal.
pub(super) async fn list(rest: &RestClient, id: i64, part: &PageArgs) -> Result<()> {
    let answer = rest
        .get(&format!("campaigns/{id}/journal"), &part.query())
        .await?;
    show(rest, &answer, |answer| listing(answer, &COLUMNS));
    Ok(())
}

/// Prints the question of an entry as a golden, also without `--json`: it is for a file.
pub(super) async fn question(rest: &RestClient, id: i64, seq: i64) -> Result<()> {
    let path = format!("campaigns/{id}/journal/{seq}/question");
    let question = rest.get(&path, &[]).await?;
    let question: Question = serde_json::from_value(question).context("read the question")?;
    print(visible_json(&serde_json::to_string_pretty(&question)?));
    Ok(())
}

/// The fields of a golden, in the order in which goldens are written.
#[derive(Serialize, Deserialize)]
struct Question {
    /// Left out for version 1.0.
    #[serde(skip_serializing_if = "Option::is_none")]
    contract: Option<String>,
    call: String,
    input: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    expect: Option<Value>,
    /// What a later server adds.
    #[serde(flatten)]
    others: Map<String, Value>,
}

const COLUMNS: [table::Column<'_>; 8] = [
    ("SEQ", "/seq"),
    ("AT", "/at"),
    ("KIND", "/kind"),
    ("PLUGIN", "/plugin"),
    ("OUTCOME", "/outcome"),
    ("FUEL", "/fuel"),
    ("EXPLAIN", "/explain"),
    ("LOG", "/log"),
];
