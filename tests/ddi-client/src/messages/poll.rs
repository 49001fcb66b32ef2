use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error as _};

use super::{Link, href};

/// The response to a poll.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Poll {
    config: PollConfig,
    #[serde(rename = "_links", default)]
    links: PollLinks,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct PollConfig {
    polling: Polling,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Polling {
    #[serde(deserialize_with = "hours_minutes_seconds")]
    sleep: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PollLinks {
    deployment_base: Option<Link>,
    confirmation_base: Option<Link>,
    cancel_action: Option<Link>,
    config_data: Option<Link>,
    installed_base: Option<Link>,
}

impl Poll {
    /// The pause before the next poll, as the server asks for it.
    pub fn sleep(&self) -> Duration {
        self.config.polling.sleep
    }

    /// The link to the offered update.
    pub fn deployment_base(&self) -> Option<&str> {
        href(self.links.deployment_base.as_ref())
    }

    /// The link to the update that must be confirmed.
    pub fn confirmation_base(&self) -> Option<&str> {
        href(self.links.confirmation_base.as_ref())
    }

    /// The link to the cancellation.
    pub fn cancel_action(&self) -> Option<&str> {
        href(self.links.cancel_action.as_ref())
    }

    /// The link to which attributes must be sent, if they are requested.
    pub fn config_data(&self) -> Option<&str> {
        href(self.links.config_data.as_ref())
    }

    /// The link to the installed update.
    pub fn installed_base(&self) -> Option<&str> {
        href(self.links.installed_base.as_ref())
    }
}

/// Parses `HH:MM:SS`.
fn hours_minutes_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let parts: Option<Vec<u32>> = text.split(':').map(|part| part.parse().ok()).collect();
    match parts.as_deref() {
        Some(&[hours, minutes @ 0..60, seconds @ 0..60]) => Ok(Duration::from_secs(
            u64::from(hours) * 3600 + u64::from(minutes * 60 + seconds),
        )),
        _ => Err(D::Error::custom(format!("sleep is `{text}`, not HH:MM:SS"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_poll_without_links_offers_nothing() {
        let body = json!({ "config": { "polling": { "sleep": "01:02:03" } } });
        let poll: Poll = serde_json::from_value(body).expect("a valid poll");
        assert_eq!(poll.sleep(), Duration::from_secs(3723));
        for link in [
            poll.deployment_base(),
            poll.confirmation_base(),
            poll.cancel_action(),
            poll.config_data(),
            poll.installed_base(),
        ] {
            assert_eq!(link, None);
        }
    }

    #[test]
    fn each_link_is_found_under_its_name() {
        let link = |name: &str| json!({ "href": format!("http://h/{name}") });
        let links = json!({
            "deploymentBase": link("d"), "confirmationBase": link("c"), "cancelAction": link("x"),
            "configData": link("a"), "installedBase": link("i"), "unknown": link("u"),
        });
        let body = json!({ "config": { "polling": { "sleep": "00:05:00" } }, "_links": links });
        let poll: Poll = serde_json::from_value(body).expect("a valid poll");
        for (found, expected) in [
            (poll.deployment_base(), "http://h/d"),
            (poll.confirmation_base(), "http://h/c"),
            (poll.cancel_action(), "http://h/x"),
            (poll.config_data(), "http://h/a"),
            (poll.installed_base(), "http://h/i"),
        ] {
            assert_eq!(found, Some(expected));
        }
    }

    #[test]
    fn a_malformed_sleep_is_refused() {
        for sleep in [
            "", "300", "05:00", "00:60:00", "00:00:60", "-1:00:00", "0:0:0:0",
        ] {
            let body = json!({ "config": { "polling": { "sleep": sleep } } });
            assert!(serde_json::from_value::<Poll>(body).is_err(), "{sleep}");
        }
    }
}
