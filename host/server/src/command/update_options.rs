//! Update options as flags.

use clap::Args;
use serde_json::{Map, Value, json};
use tidegate_core::{
    Named,
    update::{DeviceRefusal, OnDenied, SuccessCriteriaName, UpdateTypeName},
};

use super::{enum_value, window::Window};

/// The options of a campaign or an update as rows of a details view: label and JSON pointer. Retries are shown among
/// the attempts.
pub(super) const OPTION_ROWS: &[(&str, &str)] = &[
    ("window", "/maintenance_window/schedule"),
    ("note", "/note"),
    ("update type", "/update_type"),
    ("forced at", "/forced_at"),
    ("confirmation", "/requires_confirmation"),
    ("device refusal", "/device_refusal"),
];

#[derive(Debug, Args)]
pub(super) struct UpdateFlags {
    /// Total timeout of an update, from offer to end: 5 to 1440
    #[arg(long, visible_alias = "timeout", value_name = "MINUTES")]
    timeout_minutes: Option<u64>,
    /// Timeout of the download phase, from the first request of the device: 1 to the total
    #[arg(long, value_name = "MINUTES")]
    download_timeout_minutes: Option<u64>,
    /// Timeout of the installation phase, from the end of the download: 1 to the total
    #[arg(long, value_name = "MINUTES")]
    install_timeout_minutes: Option<u64>,
    #[command(flatten)]
    window: Window,
    #[command(flatten)]
    retry: RetryFlags,
    /// Update type
    #[arg(long, value_name = "TYPE", value_parser = enum_value::<UpdateTypeName>())]
    update_type: Option<UpdateTypeName>,
    /// When a `time_forced` update becomes forced: `2026-05-01T12:00:00Z`
    #[arg(long, value_name = "TIME")]
    forced_at: Option<String>,
    /// A user at the device has to confirm each update before it starts
    #[arg(long)]
    requires_confirmation: bool,
    /// What a denied confirmation does
    #[arg(long, value_name = "ANSWER", value_parser = enum_value::<OnDenied>())]
    on_denied: Option<OnDenied>,
    /// How long to wait for a confirmation: 5 to 43200
    #[arg(long, value_name = "MINUTES")]
    confirmation_timeout_minutes: Option<u64>,
    /// Success criteria
    #[arg(long, value_name = "CRITERIA", value_parser = enum_value::<SuccessCriteriaName>())]
    success_criteria: Option<SuccessCriteriaName>,
    /// Soak time on the new version, with `--success-criteria soaked`
    #[arg(long, value_name = "MINUTES")]
    soak_minutes: Option<u64>,
    /// What follows when a device refuses an update, reads it again and refuses it again; `fail` by default
    #[arg(long, value_name = "EFFECT", value_parser = enum_value::<DeviceRefusal>())]
    device_refusal: Option<DeviceRefusal>,
}

/// The options that a retry may change.
#[derive(Debug, Args)]
pub(super) struct RetryFlags {
    /// How often an update is retried after a failure or timeout: 0 to 10
    #[arg(long, value_name = "N")]
    max_retries: Option<u64>,
    /// Delay before the first retry: 1 to 3600; doubled for each further retry, up to an hour
    #[arg(long, value_name = "SECONDS")]
    retry_delay: Option<u64>,
    /// Note for operators: at most 1000 characters
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

impl UpdateFlags {
    /// Sets the fields of a request body for which a flag is given.
    pub(super) fn set(&self, body: &mut Map<String, Value>) {
        let fields = [
            ("timeout_minutes", json!(self.timeout_minutes)),
            (
                "download_timeout_minutes",
                json!(self.download_timeout_minutes),
            ),
            (
                "install_timeout_minutes",
                json!(self.install_timeout_minutes),
            ),
            ("maintenance_window", self.window.body()),
            ("update_type", name(self.update_type)),
            ("forced_at", json!(self.forced_at)),
            (
                "requires_confirmation",
                json!(self.requires_confirmation.then_some(true)),
            ),
            ("on_denied", name(self.on_denied)),
            (
                "confirmation_timeout_minutes",
                json!(self.confirmation_timeout_minutes),
            ),
            ("success_criteria", name(self.success_criteria)),
            ("soak_minutes", json!(self.soak_minutes)),
            ("device_refusal", name(self.device_refusal)),
        ];
        set_fields(body, fields);
        self.retry.set(body);
    }
}

impl RetryFlags {
    /// Sets the fields of a request body for which a flag is given.
    pub(super) fn set(&self, body: &mut Map<String, Value>) {
        let fields = [
            ("max_retries", json!(self.max_retries)),
            ("retry_delay", json!(self.retry_delay)),
            ("note", json!(self.note)),
        ];
        set_fields(body, fields);
    }
}

fn name(variant: Option<impl Named>) -> Value {
    json!(variant.map(|variant| variant.as_str()))
}

fn set_fields<const N: usize>(body: &mut Map<String, Value>, fields: [(&str, Value); N]) {
    let given = fields.into_iter().filter(|(_, value)| !value.is_null());
    body.extend(given.map(|(name, value)| (name.to_owned(), value)));
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser, error::ErrorKind};

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        options: UpdateFlags,
    }

    #[test]
    fn only_given_flags_are_sent() {
        let read = |line: &[&str]| {
            let line = Line::try_parse_from([&["x"], line].concat()).expect("valid flags");
            let mut body = Map::new();
            line.options.set(&mut body);
            Value::Object(body)
        };
        assert_eq!(read(&[]), json!({}));
        assert_eq!(read(&["--timeout", "9"]), json!({"timeout_minutes": 9}));
        assert_eq!(read(&["--note", ""]), json!({"note": ""}));
        let refusal = ["--device-refusal", "wait"];
        assert_eq!(read(&refusal), json!({"device_refusal": "wait"}));
        let many = [
            "--max-retries",
            "2",
            "--requires-confirmation",
            "--on-denied",
            "reject",
        ];
        let body = json!({"max_retries": 2, "requires_confirmation": true, "on_denied": "reject"});
        assert_eq!(read(&many), body);
    }

    #[test]
    fn the_help_lists_the_values_of_an_enum_and_others_are_refused() {
        let help = Line::command().render_help().to_string();
        for values in [
            "[possible values: forced, soft, time_forced, download_only]",
            "[possible values: offer_again, reject]",
            "[possible values: reported, attested, soaked]",
            "[possible values: wait, fail]",
        ] {
            assert!(help.contains(values), "{help}");
        }
        for flag in [
            "--update-type",
            "--on-denied",
            "--success-criteria",
            "--device-refusal",
        ] {
            let error = Line::try_parse_from(["x", flag, "sometimes"]).expect_err("unknown value");
            assert_eq!(error.kind(), ErrorKind::InvalidValue, "{flag}");
        }
    }
}
