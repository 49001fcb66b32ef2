use std::collections::BTreeMap;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Value, json};
use tidegate_core::id::Digest;

use crate::{
    client::RestClient,
    command::{repeat_while_busy, revision::AnyRevision, show},
};

/// Replay recorded decisions.
#[derive(Debug, Args)]
pub(super) struct Replay {
    /// Id of the campaign
    id: i64,
    /// Only this journal entry
    #[arg(long, value_name = "SEQ", conflicts_with = "all")]
    entry: Option<i64>,
    /// All entries of the journal, which is the default
    #[arg(long)]
    all: bool,
    /// Replay the calls of a plugin with another of its revisions: `VENDOR/NAME@VERSION`, or `sha256:...`
    #[arg(long)]
    revision: Option<AnyRevision>,
}

impl Replay {
    pub(super) async fn run(self, rest: &RestClient) -> Result<()> {
        let revision = match &self.revision {
            Some(revision) => Some(revision.digest(rest).await?),
            None => None,
        };
        match self.entry {
            Some(seq) => self.replay_entry(rest, seq, revision).await,
            None => self.replay_all(rest, revision).await,
        }
    }

    async fn replay_entry(
        &self,
        rest: &RestClient,
        seq: i64,
        revision: Option<Digest>,
    ) -> Result<()> {
        let path = format!("campaigns/{}/journal/{seq}/replay", self.id);
        let answer = post(rest, &path, revision, &[]).await?;
        let is_same = answer["same"] == true;
        show(rest, &answer, |answer| {
            if is_same {
                let mut lines = vec![format!("entry {seq} is the same")];
                lines.extend(notes(answer));
                return lines.join("\n");
            }
            difference(&json!({"seq": seq, "replay": answer})).join("\n")
        });
        if !is_same {
            bail!("the decision differs");
        }
        Ok(())
    }

    async fn replay_all(&self, rest: &RestClient, revision: Option<Digest>) -> Result<()> {
        let replay = replay_journal(rest, self.id, revision).await?;
        show(rest, &replay, report);
        let unavailable = not_compared(&replay).filter(|entry| entry["code"] == "unavailable");
        match (count(&replay, "different"), unavailable.count()) {
            (0, 0) => Ok(()),
            (0, unavailable) => {
                bail!("{unavailable} decisions could not be replayed now; try again")
            }
            (different, _) => bail!("{different} of {} decisions differ", replay["entries"]),
        }
    }
}

/// Replays all entries of a journal, in parts. `replayed_until` is the last entry that others follow.
pub(super) async fn replay_journal(
    rest: &RestClient,
    id: i64,
    revision: Option<Digest>,
) -> Result<Value> {
    let path = format!("campaigns/{id}/journal/replay");
    let mut sums = [
        "entries",
        "same",
        "fuel_not_compared",
        "limits_not_recorded",
    ]
    .map(|name| (name, 0));
    let (mut different, mut not_compared) = (Vec::new(), Vec::new());
    let mut after = 0;
    loop {
        let query = [("limit", 500), ("after", after)];
        let mut part =
            repeat_while_busy(async || post(rest, &path, revision, &query).await).await?;
        for (name, sum) in &mut sums {
            *sum += part[*name].as_u64().unwrap_or_default();
        }
        for (name, all) in [
            ("different", &mut different),
            ("not_compared", &mut not_compared),
        ] {
            if let Value::Array(items) = part[name].take() {
                all.extend(items);
            }
        }
        match part["next_after"].as_i64() {
            Some(next) if next > after => after = next,
            _ => break,
        }
    }
    let mut replay = json!({
        "different": different, "not_compared": not_compared, "replayed_until": after,
    });
    for (name, sum) in sums {
        replay[name] = json!(sum);
    }
    Ok(replay)
}

async fn post(
    rest: &RestClient,
    path: &str,
    revision: Option<Digest>,
    query: &[(&str, i64)],
) -> Result<Value> {
    let query = query.iter().map(|(name, value)| format!("{name}={value}"));
    let revision = revision.map(|digest| format!("revision={digest}"));
    let query: Vec<_> = query.chain(revision).collect();
    let path = match &query[..] {
        [] => path.to_owned(),
        query => format!("{path}?{}", query.join("&")),
    };
    rest.post(&path, &json!({})).await
}

fn not_compared(replay: &Value) -> impl Iterator<Item = &Value> {
    replay["not_compared"].as_array().into_iter().flatten()
}

pub(super) fn count(replay: &Value, list: &str) -> usize {
    replay[list].as_array().map_or(0, Vec::len)
}

/// Each entry that differs, and how many entries there are of each kind.
pub(super) fn report(replay: &Value) -> String {
    let different = replay["different"].as_array().into_iter().flatten();
    let mut lines: Vec<String> = different.flat_map(difference).collect();
    let mut reasons = BTreeMap::<&str, (usize, &Value)>::new();
    for entry in not_compared(replay) {
        let reason = entry["reason"].as_str().unwrap_or_default();
        reasons.entry(reason).or_insert((0, &entry["seq"])).0 += 1;
    }
    lines.push(format!(
        "entries: {}, same: {}, different: {}, not compared: {}",
        replay["entries"],
        replay["same"],
        count(replay, "different"),
        count(replay, "not_compared")
    ));
    for (reason, (entries, first)) in reasons {
        lines.push(format!(
            "  {entries} not compared, the first is {first}: {reason}"
        ));
    }
    for (number, what) in [
        ("fuel_not_compared", WITHOUT_FUEL),
        ("limits_not_recorded", TODAYS_LIMITS),
    ] {
        if let Some(entries @ 1..) = replay[number].as_u64() {
            lines.push(format!("  {entries} {what}"));
        }
    }
    lines.join("\n")
}

const WITHOUT_FUEL: &str = "compared without the fuel: another revision was called, or the server counted it by other costs then";
const TODAYS_LIMITS: &str = "repeated under today's limits, because none are recorded";

/// What the comparison of an entry leaves out.
fn notes(replay: &Value) -> impl Iterator<Item = String> {
    let notes = [
        ("fuel_compared", WITHOUT_FUEL),
        ("limits_recorded", TODAYS_LIMITS),
    ];
    let notes = notes.into_iter().filter(|(name, _)| replay[*name] == false);
    notes.map(|(_, note)| format!("  {note}"))
}

fn difference(entry: &Value) -> Vec<String> {
    let replay = &entry["replay"];
    let text = |name: &str| entry[name].as_str().map(|text| format!(" {text}"));
    let mut lines = vec![format!(
        "entry {}:{}{}",
        entry["seq"],
        text("kind").unwrap_or_default(),
        text("plugin").unwrap_or_default()
    )];
    if replay["decision"] != replay["recorded"] {
        lines.push(format!("  recorded: {}", replay["recorded"]));
        lines.push(format!("  replayed: {}", replay["decision"]));
    }
    if replay["fuel_compared"] == true && replay["fuel"] != replay["recorded_fuel"] {
        let (fuel, recorded) = (&replay["fuel"], &replay["recorded_fuel"]);
        lines.push(format!("  fuel: recorded {recorded}, replayed {fuel}"));
    }
    lines.extend(notes(replay));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_the_comparison_leaves_out() {
        let replay = json!({
            "entries": 5, "same": 5, "fuel_not_compared": 0, "limits_not_recorded": 0, "different": [], "not_compared": [],
        });
        let all = "entries: 5, same: 5, different: 0, not compared: 0";
        assert_eq!(report(&replay), all);
        let mut restricted = replay;
        restricted["fuel_not_compared"] = json!(4);
        restricted["limits_not_recorded"] = json!(3);
        let lines = [
            all.to_owned(),
            format!("  4 {WITHOUT_FUEL}"),
            format!("  3 {TODAYS_LIMITS}"),
        ];
        assert_eq!(report(&restricted), lines.join("\n"));
    }

    #[test]
    fn an_entry_says_what_its_comparison_leaves_out() {
        let replay =
            |fuel: bool, limits: bool| json!({"fuel_compared": fuel, "limits_recorded": limits});
        let noted = |fuel, limits| notes(&replay(fuel, limits)).collect::<Vec<_>>();
        assert_eq!(noted(true, true), Vec::<String>::new());
        assert_eq!(noted(false, true), [format!("  {WITHOUT_FUEL}")]);
        assert_eq!(noted(false, false).len(), 2);
    }
}
