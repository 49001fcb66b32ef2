use anyhow::{Context as _, Result};
use clap::Subcommand;
use jiff::{SignedDuration, Span, SpanRelativeTo};
use serde_json::{Value, json};

use crate::{
    client::{RestClient, segment},
    command::{print, show},
};

#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Create a new token, which is shown once; the old one works until the new one is used
    Rotate {
        /// Id of the device
        id: String,
        /// Maximum lifetime of the old token: `2d`; `0s` revokes it immediately [default: a week]
        #[arg(long, value_name = "TIME", value_parser = parse_seconds)]
        old_for: Option<u64>,
        /// The new token, instead of a generated one: 16 to 128 letters, digits and `-._~+/=`; for administrators
        #[arg(long)]
        token: Option<String>,
    },
    /// Revoke the device's tokens; gateways and certificates can still authenticate as the device
    Revoke {
        /// Id of the device
        id: String,
    },
}

impl Token {
    pub(super) async fn run(self, rest: &RestClient) -> Result<()> {
        match self {
            Self::Rotate { id, old_for, token } => {
                let body = json!({ "old_token_expires_in": old_for, "token": token });
                let path = format!("devices/{}/token", segment(&id));
                let created = rest.post(&path, &body).await?;
                show(rest, &created, describe);
            }
            Self::Revoke { id } => {
                rest.delete(&format!("devices/{}/token", segment(&id)))
                    .await?;
                if !rest.wants_json() {
                    print(format_args!("the tokens of {id} are revoked"));
                }
            }
        }
        Ok(())
    }
}

fn describe(created: &Value) -> String {
    let token = created["token"].as_str().unwrap_or_default();
    let old = match created["old_token_expires_at"].as_str() {
        Some(at) => format!("works until the new one is used, or {at}"),
        None => "does not work any more".to_owned(),
    };
    format!("Token (shown only once): {token}\nThe old token {old}.")
}

/// Parses a duration into whole seconds; a day has 24 hours.
fn parse_seconds(text: &str) -> Result<u64> {
    let span: Span = text
        .parse()
        .with_context(|| format!("`{text}` is not a duration"))?;
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
        let created = json!({"token": "abc", "old_token_expires_at": "2030-01-01T00:00:00Z"});
        assert_eq!(
            describe(&created),
            "Token (shown only once): abc\n\
             The old token works until the new one is used, or 2030-01-01T00:00:00Z."
        );
        assert!(
            describe(&json!({"token": "abc", "old_token_expires_at": null}))
                .contains("does not work")
        );
    }
}
