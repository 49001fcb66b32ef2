//! The report: what was measured, what it is compared with, and whether the floor holds.

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    /// Measured in the same run, alternating where possible.
    compared_with: Vec<Comparison>,
    /// The value divided by the first one it is compared with.
    ratio: Option<f64>,
    floors: Vec<Floor>,
    /// `None` if there is no floor.
    holds: Option<bool>,
    notes: Vec<String>,
}

/// A measurement that a figure is compared with.
#[derive(Debug, Clone, Serialize)]
struct Comparison {
    what: String,
    value: f64,
    unit: &'static str,
}

/// The required bound of a figure.
#[derive(Debug, Clone, Copy, Serialize)]
struct Floor {
    of: FloorSubject,
    bound: Bound,
    limit: f64,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum FloorSubject {
    Value,
    Ratio,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum Bound {
    AtLeast,
    AtMost,
    Below,
}

impl Figure {
    pub(crate) fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self {
            name: name.into(),
            value,
            unit,
            compared_with: Vec::new(),
            ratio: None,
            floors: Vec::new(),
            holds: None,
            notes: Vec::new(),
        }
    }

    /// Adds a comparison; the ratio refers to the first.
    pub(crate) fn compared_to(
        mut self,
        what: impl Into<String>,
        value: f64,
        unit: &'static str,
    ) -> Self {
        if self.compared_with.is_empty() && unit == self.unit && value > 0.0 {
            self.ratio = Some(self.value / value);
        }
        let what = what.into();
        self.compared_with.push(Comparison { what, value, unit });
        self
    }

    /// Adds a part of the value.
    pub(crate) fn of_which(mut self, what: impl Into<String>, value: f64) -> Self {
        let (what, unit) = (format!("of which {}", what.into()), self.unit);
        self.compared_with.push(Comparison { what, value, unit });
        self
    }

    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    pub(crate) fn at_least(self, limit: f64) -> Self {
        self.floor(FloorSubject::Value, Bound::AtLeast, limit)
    }

    pub(crate) fn at_most(self, limit: f64) -> Self {
        self.floor(FloorSubject::Value, Bound::AtMost, limit)
    }

    pub(crate) fn below(self, limit: f64) -> Self {
        self.floor(FloorSubject::Value, Bound::Below, limit)
    }

    pub(crate) fn ratio_at_least(self, limit: f64) -> Self {
        self.floor(FloorSubject::Ratio, Bound::AtLeast, limit)
    }

    pub(crate) fn ratio_at_most(self, limit: f64) -> Self {
        self.floor(FloorSubject::Ratio, Bound::AtMost, limit)
    }

    fn floor(mut self, of: FloorSubject, bound: Bound, limit: f64) -> Self {
        let measured = match of {
            FloorSubject::Value => self.value,
            FloorSubject::Ratio => self.ratio.unwrap_or(f64::NAN),
        };
        let holds = match bound {
            Bound::AtLeast => measured >= limit,
            Bound::AtMost => measured <= limit,
            Bound::Below => measured < limit,
        };
        self.holds = Some(holds && self.holds.unwrap_or(true));
        self.floors.push(Floor { of, bound, limit });
        self
    }

    pub(crate) fn is_missed(&self) -> bool {
        self.holds == Some(false)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// One line, for progress output.
    pub(crate) fn line(&self) -> String {
        let mut line = format!("{}: {}", self.name, amount(self.value, self.unit));
        for comparison in &self.compared_with {
            line.extend([
                "; ",
                &comparison.what,
                ": ",
                &amount(comparison.value, comparison.unit),
            ]);
        }
        if let Some(ratio) = self.ratio {
            line.extend(["; ratio ".to_owned(), format!("{ratio:.2}")]);
        }
        line + match self.holds {
            Some(true) => "; holds",
            Some(false) => "; MISSED",
            None => "",
        }
    }
}

impl std::fmt::Display for Floor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = match self.bound {
            Bound::AtLeast => "≥",
            Bound::AtMost => "≤",
            Bound::Below => "<",
        };
        let of = match self.of {
            FloorSubject::Value => "",
            FloorSubject::Ratio => " (ratio)",
        };
        write!(f, "{sign} {}{of}", number(self.limit))
    }
}

/// All figures as a text table.
pub(crate) fn table(figures: &[Figure]) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header([
            "figure",
            "measured",
            "compared with",
            "ratio",
            "floors",
            "holds",
        ]);
    for figure in figures {
        let comparisons: Vec<String> = figure
            .compared_with
            .iter()
            .map(|other| format!("{}: {}", other.what, amount(other.value, other.unit)))
            .collect();
        let floors: Vec<String> = figure.floors.iter().map(Floor::to_string).collect();
        table.add_row([
            figure.name.clone(),
            amount(figure.value, figure.unit),
            comparisons.join("\n"),
            figure
                .ratio
                .map(|ratio| format!("{ratio:.2}"))
                .unwrap_or_default(),
            floors.join("\n"),
            match figure.holds {
                Some(true) => "yes",
                Some(false) => "MISSED",
                None => "",
            }
            .to_owned(),
        ]);
    }
    let mut text = table.to_string();
    for figure in figures {
        for note in &figure.notes {
            text.extend(["\n", &figure.name, ": ", note]);
        }
    }
    text
}

fn amount(value: f64, unit: &str) -> String {
    format!("{} {unit}", number(value))
}

/// Three significant digits, or all digits before the point.
fn number(value: f64) -> String {
    let size = value.abs();
    if size >= 1e6 {
        format!("{:.2} M", value / 1e6)
    } else if size >= 100.0 || value.fract().abs() < 1e-9 {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// The median of some measurements.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    quantile(values, 0.5)
}

/// The quantile of some measurements; NaN if there are none.
pub(crate) fn quantile(values: impl IntoIterator<Item = f64>, share: f64) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    let at = (last as f64 * share).round() as usize;
    values.get(at).copied().unwrap_or(f64::NAN)
}
