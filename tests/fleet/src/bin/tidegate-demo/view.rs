//! The output: progress bars in a terminal, plain lines elsewhere.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashSet},
    io::IsTerminal as _,
    time::Instant,
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::Value;

/// Shows the progress of the demo.
pub(crate) struct View {
    started: Instant,
    bars: Option<MultiProgress>,
    current: RefCell<CampaignView>,
}

/// The current campaign.
#[derive(Default)]
struct CampaignView {
    waves: Vec<ProgressBar>,
    fleet: Option<ProgressBar>,
    /// The latest explanation.
    notes: Option<ProgressBar>,
    /// Lines that were printed already: a decision explains the same at every tick.
    printed: HashSet<String>,
}

impl View {
    pub(crate) fn new() -> Self {
        let bars = std::io::stdout().is_terminal().then(MultiProgress::new);
        Self {
            started: Instant::now(),
            bars,
            current: RefCell::default(),
        }
    }

    /// Prints a line.
    pub(crate) fn print(&self, text: &str) {
        let line = format!("{:>6.1}s  {text}", self.started.elapsed().as_secs_f64());
        match &self.bars {
            // Output is best effort.
            Some(bars) => drop(bars.println(line)),
            None => println!("{line}"),
        }
    }

    /// Removes the bars.
    pub(crate) fn clear(&self) {
        if let Some(bars) = &self.bars {
            // Output is best effort.
            let _ = bars.clear();
        }
    }

    /// Starts the view of another campaign.
    pub(crate) fn campaign(&self, title: &str) {
        let mut current = self.current.borrow_mut();
        for bar in current.waves.drain(..) {
            bar.finish_and_clear();
        }
        current.printed.clear();
        drop(current);
        self.print(title);
    }

    /// Shows the state of a campaign and of the fleet, and the new journal entries.
    pub(crate) fn update(
        &self,
        campaign: &Value,
        entries: &[Value],
        versions: &BTreeMap<String, usize>,
    ) {
        for entry in entries {
            self.decision(entry);
        }
        let fleet: Vec<String> = versions
            .iter()
            .map(|(version, devices)| format!("{devices} on {version}"))
            .collect();
        let waves = campaign["waves"].as_array().map_or(&[][..], Vec::as_slice);
        let status = campaign["status"].as_str().unwrap_or_default();
        let fleet = format!("fleet: {} (campaign {status})", fleet.join(", "));
        if let Some(bars) = &self.bars {
            self.draw(bars, waves, fleet);
            return;
        }
        for wave in waves {
            let total = wave["total"].as_u64().unwrap_or(0);
            let counts = &wave["counts"];
            let ended = ["completed", "failed", "timed_out", "cancelled", "rejected"]
                .iter()
                .filter_map(|name| counts[*name].as_u64())
                .sum::<u64>();
            // Without a terminal, print only when a wave starts or ends.
            if counts["pending"].as_u64() != Some(total) && (ended == 0 || ended == total) {
                self.print_once(&format!("wave {}: {}", name(wave), wave_counts(wave)));
            }
        }
        self.print_once(&format!("campaign is {status}"));
    }

    /// Prints new explanations; in a terminal only those that differ in more than numbers, because the bars show
    /// the numbers.
    fn decision(&self, entry: &Value) {
        let who = entry["plugin"]
            .as_str()
            .filter(|name| !name.is_empty())
            .unwrap_or("host");
        let sentences = entry["explain"].as_array().map_or(&[][..], Vec::as_slice);
        for sentence in sentences.iter().filter_map(Value::as_str) {
            let line = format!("{who}: {sentence}");
            let kind = if self.bars.is_some() {
                let words = line.replace(|c: char| c.is_ascii_digit() || c == '.', "");
                format!("{} {words}", entry["outcome"])
            } else {
                line.clone()
            };
            if self.current.borrow_mut().printed.insert(kind) {
                self.print(&line);
            }
        }
        if let Some(bar) = &self.current.borrow().notes {
            let last = sentences.iter().filter_map(Value::as_str).next_back();
            bar.set_message(format!("{who}: {}", last.unwrap_or_default()));
        }
    }

    fn print_once(&self, text: &str) {
        if self.current.borrow_mut().printed.insert(text.to_owned()) {
            self.print(text);
        }
    }

    fn draw(&self, bars: &MultiProgress, waves: &[Value], fleet: String) {
        let mut current = self.current.borrow_mut();
        let bar = |template: &str, length: u64| {
            let style = ProgressStyle::with_template(template);
            ProgressBar::new(length)
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        };
        if current.fleet.is_none() {
            current.fleet = Some(bars.add(bar("        {msg}", 1)));
            current.notes = Some(bars.add(bar("        {wide_msg}", 1)));
        }
        for (index, wave) in waves.iter().enumerate() {
            if current.waves.len() == index {
                let length = wave["total"].as_u64().unwrap_or(0);
                current
                    .waves
                    .push(bars.add(bar("        {prefix:<12} {bar:30} {msg}", length)));
            }
            let bar = &current.waves[index];
            bar.set_prefix(name(wave));
            bar.set_position(wave["counts"]["completed"].as_u64().unwrap_or(0));
            bar.set_message(wave_counts(wave));
        }
        if let Some(bar) = &current.fleet {
            bar.set_message(fleet);
        }
    }
}

fn name(wave: &Value) -> String {
    wave["name"]
        .as_str()
        .map_or_else(|| wave["index"].to_string(), str::to_owned)
}

/// The non-zero counters of a wave.
fn wave_counts(wave: &Value) -> String {
    let counts = [
        "pending",
        "offered",
        "in_progress",
        "completed",
        "failed",
        "timed_out",
        "cancelled",
        "rejected",
    ];
    let parts: Vec<String> = counts
        .iter()
        .filter_map(|name| {
            Some((
                name,
                wave["counts"][*name].as_u64().filter(|count| *count > 0)?,
            ))
        })
        .map(|(name, count)| format!("{count} {}", name.replace('_', " ")))
        .collect();
    format!("{} of {}", parts.join(", "), wave["total"])
}
