use std::collections::{BTreeMap, BTreeSet};

use comfy_table::{Table, presets::NOTHING};
use serde_json::{Value, json};

use crate::cases::row_order;

/// The results of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The server's address.
    pub server: String,
    /// The results in the order of the cases.
    pub entries: Vec<CaseResult>,
}

/// The result of one case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseResult {
    /// The part of the standard that it covers.
    pub row: &'static str,
    /// What it checks.
    pub name: String,
    /// How it ended.
    pub outcome: CaseOutcome,
}

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaseOutcome {
    /// The server responded as the standard requires.
    Conforms,
    /// The server showed these known differences.
    Differs(BTreeSet<u8>),
    /// The server responded otherwise, or the setup failed.
    Fails(String),
    /// The case was not run.
    Skipped(String),
}

impl CaseOutcome {
    fn label(&self) -> &'static str {
        match self {
            Self::Conforms => "conforms",
            Self::Differs(_) => "differs on purpose",
            Self::Fails(_) => "fails",
            Self::Skipped(_) => "skipped",
        }
    }
}

impl Report {
    /// Whether no case failed.
    pub fn passed(&self) -> bool {
        self.failures().next().is_none()
    }

    /// The failed cases with their reasons.
    pub fn failures(&self) -> impl Iterator<Item = (&CaseResult, &str)> {
        self.entries
            .iter()
            .filter_map(|entry| match &entry.outcome {
                CaseOutcome::Fails(reason) => Some((entry, &**reason)),
                _ => None,
            })
    }

    /// The number of cases with this label: `conforms`, `differs on purpose`, `fails` or `skipped`.
    pub fn count(&self, label: &str) -> usize {
        self.entries
            .iter()
            .filter(|entry| entry.outcome.label() == label)
            .count()
    }

    /// A table with a line for each case: row, case, result.
    pub fn table(&self) -> String {
        let mut table = plain(&["row", "case", "result"]);
        for entry in &self.entries {
            let result = match &entry.outcome {
                CaseOutcome::Conforms => "conforms".to_owned(),
                CaseOutcome::Differs(which) => {
                    let which: Vec<_> = which.iter().map(u8::to_string).collect();
                    format!("differs on purpose ({})", which.join(", "))
                }
                CaseOutcome::Fails(_) => "FAILS".to_owned(),
                CaseOutcome::Skipped(reason) => format!("skipped: {reason}"),
            };
            table.add_row([entry.row, &entry.name, &result]);
        }
        table.trim_fmt()
    }

    /// A table with a line for each row of the standard, and one for all.
    pub fn summary(&self) -> String {
        const WORDS: [&str; 4] = ["conforms", "differs on purpose", "fails", "skipped"];

        let mut rows: BTreeMap<Vec<u32>, (&str, [usize; 4])> = BTreeMap::new();
        for entry in &self.entries {
            let (_, counts) = rows
                .entry(row_order(entry.row))
                .or_insert((entry.row, [0; 4]));
            let label = entry.outcome.label();
            for (count, _) in counts
                .iter_mut()
                .zip(WORDS)
                .filter(|(_, other)| *other == label)
            {
                *count += 1;
            }
        }
        let mut table = plain(&["row", "cases", WORDS[0], WORDS[1], WORDS[2], WORDS[3]]);
        let all = WORDS.map(|label| self.count(label));
        for (row, counts) in rows.into_values().chain([("all", all)]) {
            let sum = counts.iter().sum::<usize>();
            let mut cells = vec![row.to_owned(), sum.to_string()];
            cells.extend(counts.iter().map(|count| {
                if *count == 0 {
                    String::new()
                } else {
                    count.to_string()
                }
            }));
            table.add_row(cells);
        }
        table.trim_fmt()
    }

    /// The whole report as JSON, for other programs.
    pub fn json(&self) -> Value {
        let cases = self.entries.iter().map(|entry| {
            let mut case = json!({
                "row": entry.row,
                "case": entry.name,
                "result": entry.outcome.label().replace(' ', "_"),
            });
            match &entry.outcome {
                CaseOutcome::Conforms => {}
                CaseOutcome::Differs(which) => case["differences"] = json!(which),
                CaseOutcome::Fails(reason) | CaseOutcome::Skipped(reason) => {
                    case["reason"] = json!(reason);
                }
            }
            case
        });
        json!({
            "server": self.server,
            "conforms": self.count("conforms"),
            "differs_on_purpose": self.count("differs on purpose"),
            "fails": self.count("fails"),
            "skipped": self.count("skipped"),
            "cases": cases.collect::<Vec<_>>(),
        })
    }
}

fn plain(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header);
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_count_results() {
        let entry = |row, name: &str, outcome| CaseResult {
            row,
            name: name.to_owned(),
            outcome,
        };
        let mut report = Report {
            server: "http://h".to_owned(),
            entries: vec![
                entry("10", "a", CaseOutcome::Conforms),
                entry("1.1", "b", CaseOutcome::Differs(BTreeSet::from([2, 12]))),
                entry("1", "c", CaseOutcome::Skipped("no windows".to_owned())),
            ],
        };
        assert!(report.passed());
        assert!(
            report.table().contains("differs on purpose (2, 12)"),
            "{}",
            report.table()
        );
        let summary = report.summary();
        let rows: Vec<_> = summary
            .lines()
            .filter_map(|line| line.split_whitespace().next())
            .collect();
        assert_eq!(rows, ["row", "1", "1.1", "10", "all"]);
        report
            .entries
            .push(entry("2", "d", CaseOutcome::Fails("410".to_owned())));
        assert!(!report.passed());
        assert_eq!(
            (
                report.json()["fails"].clone(),
                report.json()["cases"][3]["reason"].clone()
            ),
            (json!(1), json!("410"))
        );
    }
}
