//! Compares a sample of devices with the threshold.

use tidegate_plugin_sdk::{percent_text, prelude::*, share_of};

use crate::{Config, FailureKind};

/// Devices that are evaluated together.
pub(crate) struct Sample<'a> {
    /// Name in explanations, such as `Wave 'canary'`.
    name: String,
    /// Ended devices without the cancelled ones.
    ended: u64,
    /// Ended devices that count as failures.
    failures: u64,
    /// True if no more devices will end.
    has_ended: bool,
    codes: &'a [Failure],
}

/// Evaluation of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SampleVerdict {
    WithinThreshold,
    TooSmall,
    OverThreshold,
}

impl<'a> Sample<'a> {
    pub(crate) fn of_wave(wave: &'a WaveReport, config: &Config) -> Self {
        Self {
            name: format!("Wave '{}'", wave.name),
            ended: wave.counts.conclusive(),
            failures: failures(&wave.counts, config),
            has_ended: wave.has_ended(),
            codes: &wave.failures,
        }
    }

    /// The whole campaign. It has ended when its open waves have: the next wave may be waiting for the verdict.
    pub(crate) fn of_campaign(input: &'a HealthInput, config: &Config) -> Self {
        let mut opened = input.waves.iter().filter(|wave| wave.is_open()).peekable();
        Self {
            name: "The campaign".to_owned(),
            ended: input.total.conclusive(),
            failures: failures(&input.total, config),
            has_ended: opened.peek().is_some() && opened.all(WaveReport::has_ended),
            codes: &input.failures,
        }
    }

    pub(crate) fn verdict(&self, config: &Config) -> SampleVerdict {
        if self.ended < config.minimum_sample && !self.has_ended {
            return SampleVerdict::TooSmall;
        }
        // Compared as products, since rounding a share could move it across the threshold.
        let share = u128::from(self.failures) * 10_000;
        let threshold =
            u128::from(self.ended) * u128::from(config.threshold_percent.basis_points());
        if self.failures > 0 && share >= threshold {
            SampleVerdict::OverThreshold
        } else {
            SampleVerdict::WithinThreshold
        }
    }

    /// Confidence in basis points: 100 % for an ended sample, otherwise 50 % at the minimum size and more with each
    /// device.
    pub(crate) fn confidence(&self, config: &Config) -> u16 {
        if self.has_ended {
            10_000
        } else {
            share_of(self.ended, self.ended.saturating_add(config.minimum_sample))
        }
    }

    pub(crate) fn text(&self, config: &Config) -> String {
        let share = percent_text(share_of(self.failures, self.ended));
        let threshold = percent_text(config.threshold_percent.basis_points());
        format!(
            "{}: {} of {} ended devices failed, {share}; the threshold is {threshold}.",
            self.name, self.failures, self.ended
        )
    }

    pub(crate) fn reason(&self, config: &Config) -> String {
        match self.codes.first() {
            Some(Failure { code, devices }) => {
                format!(
                    "{} The most frequent error is {code} ({devices}).",
                    self.text(config)
                )
            }
            None => self.text(config),
        }
    }

    pub(crate) fn too_few(&self, config: &Config) -> String {
        format!(
            "{}: too few devices have ended to evaluate, {} of {}.",
            self.name, self.ended, config.minimum_sample
        )
    }
}

fn failures(counts: &Counts, config: &Config) -> u64 {
    let count = |kind| match kind {
        FailureKind::Failed => counts.failed,
        FailureKind::TimedOut => counts.timed_out,
        FailureKind::Rejected => counts.rejected,
    };
    config.kinds.iter().map(|kind| count(*kind)).sum()
}
