use anyhow::{Context as _, Result};
use clap::Subcommand;
use jiff::{SignedDuration, Span, SpanRelativeTo};
use serde_json::{Value, json};

use super::segment;
use crate::{
    client::RestClient,
    command::{print, show},
};

#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Make a new token, which is shown this once; the old one works until the device has used the new one
    Rotate {
        /// The device
        id: String,
        /// How long the old one works at most: `2d`; `0s` ends it at once [default: a week]
        #[arg(long, value_name = "TIME", value_parser = parse_seconds)]
        old_for: Option<u64>,
    },
    /// Take its tokens away: it is let in no more, unless a gateway or a certificate speaks for it
    Revoke {
        /// The device
        id: String,
    },
}

impl Token {
    pub(super) async fn run(self, rest: &RestClient) -> Result<()> {
        match self {
            Self::Rotate { id, old_for } => {
                let body = old_for.map_or(
                    json!({}),
                    |old_for| json!({ "old_token_expires_in": old_for }),
                );
                let path = format!("devices/{}/token", segment(&id));
                let made = rest.post(&path, &body).await?;
                show(rest, &made, describe);
            }
            Self::Revoke { id } => {
                rest.delete(&format!("devices/{}/token", segment(&id)))
                    .await?;
                if !rest.wants_json() {
                    print(format_args!("{id} has no token any more"));
                }
            }
        }
        Ok(())
    }
}

fn describe(made: &Value) -> String {
    let token = made["token"].as_str().unwrap_or_default();
    let old = match made["old_token_expires_at"].as_str() {
        Some(at) => format!("works until the new one is used, or {at}"),
        None => "works no more, if there was one".to_owned(),
    };
    format!("Its token, which is shown this once: {token}\nThe old one {old}.")
}

/// Whole seconds; a day is one of 24 hours.
fn parse_seconds(text: &str) -> Result<u64> {
    let span: Span = text
        .parse()
        .with_context(|| format!("`{text}` is no length of time"))?;
    let length: SignedDuration = span.to_duration(SpanRelativeTo::days_are_24_hours())?;
    u64::try_from(length.as_secs()).with_context(|| format!("`{text}` is in the past"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_parsed() {
        for (text, expected) in [
            ("2d", Some(172_800)),
            ("0s", Some(0)),
            ("1h 30m", Some(5400)),
            ("-1h", None),
            ("soon", None),
        ] {
            assert_eq!(parse_seconds(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_new_token_is_shown_with_the_old_ones_expiry() {
        let made = json!({"token": "abc", "old_token_expires_at": "2030-01-01T00:00:00Z"});
        assert_eq!(
            describe(&made),
            "Its token, which is shown this once: abc\n\
             The old one works until the new one is used, or 2030-01-01T00:00:00Z."
        );
        assert!(
            describe(&json!({"token": "abc", "old_token_expires_at": null})).contains("no more")
        );
    }
}
