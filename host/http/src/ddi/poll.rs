use std::{fmt, time::Duration};

use axum::{extract::State, response::Response};
use serde::{Serialize, Serializer};
use tidegate_core::update::UpdateStatus;
use tidegate_engine::{devices, ports::PollView};

use super::{
    door::Door,
    links::{Link, Links, Resource},
    refusal::Refusal,
    representation::Representation,
};
use crate::AppState;

/// The root: what there is to do for the device, and when to ask again.
pub(super) async fn get(
    door: Door,
    representation: Representation,
    State(state): State<AppState>,
) -> Result<Response, Refusal> {
    let view = devices::poll(&state.engine, &door.caller).await?;
    let interval = state.engine.settings.polling_interval;
    representation.of(&Answer::new(&view, &door.links, interval))
}

#[derive(Serialize)]
struct Answer<'a> {
    config: Config,
    #[serde(rename = "_links", skip_serializing_if = "Offered::is_empty")]
    links: Offered<'a>,
}

#[derive(Serialize)]
struct Config {
    polling: Polling,
}

#[derive(Serialize)]
struct Polling {
    sleep: Sleep,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Offered<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    deployment_base: Option<Link<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel_action: Option<Link<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    installed_base: Option<Link<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config_data: Option<Link<'a>>,
}

impl<'a> Answer<'a> {
    fn new(view: &PollView, links: &'a Links, interval: Duration) -> Self {
        let (is_cancelling, open) = match view.open {
            Some(open) => (open.status == UpdateStatus::Cancelling, Some(open)),
            None => (false, None),
        };
        let deployment = open
            .filter(|_| !is_cancelling)
            .map(|open| Resource::DeploymentBase(open.id, open.revision));
        let cancel = open
            .filter(|_| is_cancelling)
            .map(|open| Resource::CancelAction(open.id));
        let config_data = view.wants_attributes.then_some(Resource::ConfigData);
        Self {
            config: Config {
                polling: Polling {
                    sleep: Sleep(interval),
                },
            },
            links: Offered {
                deployment_base: deployment.map(|resource| links.to(resource)),
                cancel_action: cancel.map(|resource| links.to(resource)),
                installed_base: view
                    .installed
                    .map(|update| links.to(Resource::InstalledBase(update))),
                config_data: config_data.map(|resource| links.to(resource)),
            },
        }
    }
}

impl Offered<'_> {
    fn is_empty(&self) -> bool {
        self.deployment_base.is_none()
            && self.cancel_action.is_none()
            && self.installed_base.is_none()
            && self.config_data.is_none()
    }
}

/// `HH:MM:SS`, less than a day.
struct Sleep(Duration);

impl fmt::Display for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs().min(24 * 60 * 60 - 1);
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{hours:02}:{minutes:02}:{seconds:02}")
    }
}

impl Serialize for Sleep {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, Uri, header::HOST};
    use tidegate_core::id::{DeviceKey, UpdateId};
    use tidegate_engine::ports::OpenUpdate;

    use super::*;

    fn answer(view: &PollView) -> String {
        let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static("h"))]);
        let links = Links::of(&Uri::from_static("/"), &headers, "t", "d").expect("a host");
        let answer = Answer::new(view, &links, Duration::from_mins(5));
        serde_json::to_string(&answer).expect("writes")
    }

    #[test]
    fn one_thing_is_offered_at_a_time() {
        let idle = PollView {
            device: DeviceKey(1),
            token_sha256: None,
            old_token: None,
            wants_attributes: false,
            is_unseen: false,
            open: None,
            installed: None,
        };
        let open = |status| {
            Some(OpenUpdate {
                id: UpdateId(8),
                status,
                revision: 3,
            })
        };
        let config = r#"{"config":{"polling":{"sleep":"00:05:00"}}"#;
        let base = "http://h/t/controller/v1/d";
        for (view, links) in [
            (idle.clone(), "}".to_owned()),
            (
                PollView {
                    wants_attributes: true,
                    ..idle.clone()
                },
                format!(r#","_links":{{"configData":{{"href":"{base}/configData"}}}}}}"#),
            ),
            (
                PollView {
                    open: open(UpdateStatus::Offered),
                    installed: Some(UpdateId(7)),
                    ..idle.clone()
                },
                format!(
                    r#","_links":{{"deploymentBase":{{"href":"{base}/deploymentBase/8?c=3"}},"installedBase":{{"href":"{base}/installedBase/7"}}}}}}"#
                ),
            ),
            (
                PollView {
                    open: open(UpdateStatus::Cancelling),
                    ..idle
                },
                format!(r#","_links":{{"cancelAction":{{"href":"{base}/cancelAction/8"}}}}}}"#),
            ),
        ] {
            assert_eq!(answer(&view), format!("{config}{links}"));
        }
    }

    #[test]
    fn sleep_is_a_time_of_day() {
        for (seconds, expected) in [
            (0, "00:00:00"),
            (300, "00:05:00"),
            (3661, "01:01:01"),
            (86_400, "23:59:59"),
            (u64::MAX, "23:59:59"),
        ] {
            assert_eq!(Sleep(Duration::from_secs(seconds)).to_string(), expected);
        }
    }
}
