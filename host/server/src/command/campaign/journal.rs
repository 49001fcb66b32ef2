use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Value, json};
use tidegate_core::Named as _;
use tidegate_engine::ports::EntryKind;

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

/// Replay recorded decisions.
#[derive(Debug, Args)]
pub(super) struct Replay {
    /// Id of the campaign
    id: i64,
    /// Journal entry; by default all entries of plugins
    seq: Option<i64>,
    /// Replay with another revision: `sha256:...`
    #[arg(long, value_name = "DIGEST")]
    revision: Option<String>,
}

impl Replay {
    pub(super) async fn run(self, rest: &RestClient) -> Result<()> {
        let entries = match self.seq {
            Some(seq) => vec![seq],
            None => recorded(rest, self.id).await?,
        };
        let mut answers = Vec::with_capacity(entries.len());
        for seq in entries {
            let revision = self
                .revision
                .as_ref()
                .map(|digest| format!("?revision={digest}"));
            let path = format!(
                "campaigns/{}/journal/{seq}/replay{}",
                self.id,
                revision.unwrap_or_default()
            );
            let mut answer = rest.post(&path, &json!({})).await?;
            answer["seq"] = seq.into();
            answers.push(answer);
        }
        let differ = answers
            .iter()
            .filter(|answer| answer["same"] != true)
            .count();
        let count = answers.len();
        let columns = [
            ("SEQ", "/seq"),
            ("SAME", "/same"),
            ("FUEL", "/fuel"),
            ("FUEL COMPARED", "/fuel_compared"),
        ];
        let answers = Value::Array(answers);
        show(rest, &answers, |answers| {
            table::list(answers.as_array().map_or(&[][..], Vec::as_slice), &columns)
        });
        if differ > 0 {
            bail!("{differ} of {count} decisions differ");
        }
        Ok(())
    }
}

/// The sequence numbers of all entries of plugins.
async fn recorded(rest: &RestClient, id: i64) -> Result<Vec<i64>> {
    let mut found = Vec::new();
    let mut offset = 0;
    loop {
        let query = [("limit", "500".to_owned()), ("offset", offset.to_string())];
        let page = rest.get(&format!("campaigns/{id}/journal"), &query).await?;
        let items = page["items"].as_array().map_or(&[][..], Vec::as_slice);
        found.extend(
            items
                .iter()
                .filter(|entry| entry["kind"] != EntryKind::Host.as_str())
                .filter_map(|entry| entry["seq"].as_i64()),
        );
        offset += items.len();
        if items.is_empty() {
            return Ok(found);
        }
    }
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
