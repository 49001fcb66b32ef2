use std::{fmt, time::Duration};

use axum::{extract::State, response::Response};
use serde::{Serialize, Serializer};
use tidegate_core::{time::Timestamp, update::UpdateStatus};
use tidegate_engine::devices::{self, PollResponse};

use super::{
    device_auth::DeviceAuth,
    error::DdiError,
    links::{Link, Links, Resource},
    representation::Representation,
};
use crate::AppState;

/// The root resource: links to what the device has to do, and its polling interval.
pub(super) async fn get(
    device: DeviceAuth,
    representation: Representation,
    State(state): State<AppState>,
) -> Result<Response, DdiError> {
    let polled = devices::poll(&device.caller, &state.engine, &device.tenant).await?;
    let now = state.engine.now();
    representation.respond(&PollBody::new(&polled, &device.links, now))
}

#[derive(Serialize)]
struct PollBody<'a> {
    config: PollConfig,
    #[serde(rename = "_links", skip_serializing_if = "PollLinks::is_empty")]
    links: PollLinks<'a>,
}

#[derive(Serialize)]
struct PollConfig {
    polling: Polling,
}

#[derive(Serialize)]
struct Polling {
    sleep: Sleep,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PollLinks<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    deployment_base: Option<Link<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmation_base: Option<Link<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel_action: Option<Link<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    installed_base: Option<Link<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config_data: Option<Link<'a>>,
}

impl<'a> PollBody<'a> {
    fn new(polled: &PollResponse, links: &'a Links, now: Timestamp) -> Self {
        let view = &polled.view;
        let open = view.open.as_ref().map(|open| match open.status {
            UpdateStatus::Cancelling => Resource::CancelAction(open.id),
            UpdateStatus::WaitingConfirmation => {
                Resource::ConfirmationBase(open.id, open.content_revision(now))
            }
            _ => Resource::DeploymentBase(open.id, open.content_revision(now)),
        });
        let link_if = |predicate: fn(&Resource) -> bool| {
            let resource = open.filter(predicate);
            resource.map(|resource| links.to(resource))
        };
        let config_data = view.wants_attributes.then_some(Resource::ConfigData);
        Self {
            config: PollConfig {
                polling: Polling {
                    sleep: Sleep(polled.sleep),
                },
            },
            links: PollLinks {
                deployment_base: link_if(|it| matches!(it, Resource::DeploymentBase(..))),
                confirmation_base: link_if(|it| matches!(it, Resource::ConfirmationBase(..))),
                cancel_action: link_if(|it| matches!(it, Resource::CancelAction(_))),
                installed_base: view
                    .installed
                    .map(|update| links.to(Resource::InstalledBase(update))),
                config_data: config_data.map(|resource| links.to(resource)),
            },
        }
    }
}

impl PollLinks<'_> {
    fn is_empty(&self) -> bool {
        self.deployment_base.is_none()
            && self.confirmation_base.is_none()
            && self.cancel_action.is_none()
            && self.installed_base.is_none()
            && self.config_data.is_none()
    }
}

/// Serialized as `HH:MM:SS`; capped below one day.
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
    use std::sync::Arc;

    use http::{HeaderMap, HeaderValue, Uri, header::HOST};
    use tidegate_core::{
        id::{DeviceKey, FirmwareId, UpdateId},
        update::UpdateType,
    };
    use tidegate_engine::ports::{DeviceUpdate, PollView};

    use super::*;
    use crate::client::Client;

    fn poll_json(view: &PollView) -> String {
        let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static("h"))]);
        let client = Client::default();
        let links =
            Links::from_request(None, &Uri::from_static("/"), &headers, &client, ["t", "d"]);
        let links = links.expect("a host");
        let polled = PollResponse {
            view: view.clone(),
            sleep: Duration::from_mins(5),
        };
        let body = PollBody::new(&polled, &links, Timestamp(1000));
        serde_json::to_string(&body).expect("writes")
    }

    #[test]
    fn one_resource_is_offered_at_a_time() {
        let idle = PollView {
            device: DeviceKey(1),
            token_sha256: None,
            old_token: None,
            wants_attributes: false,
            is_unseen: false,
            open: None,
            installed: None,
            polling_seconds: None,
        };
        let open = |status| {
            Some(Arc::new(DeviceUpdate {
                id: UpdateId(8),
                status,
                refusal: None,
                revision: 3,
                firmware: FirmwareId(9),
                update_type: UpdateType::Forced,
                window: None,
            }))
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
                    open: open(UpdateStatus::WaitingConfirmation),
                    ..idle.clone()
                },
                format!(
                    r#","_links":{{"confirmationBase":{{"href":"{base}/confirmationBase/8?c=3"}}}}}}"#
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
            assert_eq!(poll_json(&view), format!("{config}{links}"));
        }
    }

    #[test]
    fn a_link_changes_when_the_update_becomes_forced() {
        let at = |forced_at| {
            let open = DeviceUpdate {
                id: UpdateId(8),
                status: UpdateStatus::Offered,
                refusal: None,
                revision: 3,
                firmware: FirmwareId(9),
                update_type: UpdateType::TimeForced(Timestamp(forced_at)),
                window: None,
            };
            poll_json(&PollView {
                device: DeviceKey(1),
                token_sha256: None,
                old_token: None,
                wants_attributes: false,
                is_unseen: false,
                open: Some(Arc::new(open)),
                installed: None,
                polling_seconds: None,
            })
        };
        assert!(at(1001).contains("deploymentBase/8?c=3\""), "not yet");
        assert!(at(1000).contains("deploymentBase/8?c=-4\""), "now");
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
