use anyhow::Result;

use crate::{
    client::{RestClient, table},
    command::{PageArgs, listing, show},
};

/// Lists a page of a campaign's journal.
pub(super) async fn list(rest: &RestClient, id: i64, part: &PageArgs) -> Result<()> {
    let answer = rest
        .get(&format!("campaigns/{id}/journal"), &part.query())
        .await?;
    show(rest, &answer, |answer| listing(answer, &COLUMNS));
    Ok(())
}

const COLUMNS: [table::Column<'_>; 7] = [
    ("SEQ", "/seq"),
    ("AT", "/at"),
    ("KIND", "/kind"),
    ("PLUGIN", "/plugin"),
    ("OUTCOME", "/outcome"),
    ("FUEL", "/fuel"),
    ("EXPLAIN", "/explain"),
];
