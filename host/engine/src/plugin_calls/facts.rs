//! What plugins are told beside the fields of their inputs, if they want it.

use tidegate_core::{
    Named as _,
    campaign::PluginUse,
    id::{CampaignId, TenantId},
    plugin::Context,
    time::Timestamp,
    zone::ZoneOffset,
};

use super::{FailedCall, PluginCalls};
use crate::{
    chain,
    ports::{CallFailure, CallQuota},
};

/// Why the facts that a plugin wants are not known.
pub(super) enum NoFacts {
    /// Its `wants` failed.
    Wants(FailedCall),
    /// The server cannot read one.
    Unknown(CallFailure),
}

impl PluginCalls {
    /// Adds the facts that a plugin wants to the context of its call. Facts that this server does not know, and those
    /// of campaigns and zones that do not exist, are left out. `quota` is that of the call.
    pub(super) async fn with_facts(
        &self,
        tenant: TenantId,
        quota: CallQuota,
        plugin: &PluginUse,
        mut context: Context,
    ) -> Result<Context, NoFacts> {
        let wants = self.wants(tenant, quota, plugin).await;
        for key in wants.map_err(NoFacts::Wants)?.facts {
            let value = self.fact(tenant, &key, context.now).await;
            if let Some(value) = value.map_err(NoFacts::Unknown)? {
                context.facts.push((key, value));
            }
        }
        Ok(context)
    }

    async fn fact(
        &self,
        tenant: TenantId,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<String>, CallFailure> {
        if let Some(campaign) = key.strip_prefix("campaign/") {
            let Some(id) = campaign
                .strip_suffix("/status")
                .and_then(|id| id.parse().ok())
            else {
                return Ok(None);
            };
            let read = self.store.campaign(tenant, CampaignId(id)).await;
            let campaign = read.map_err(|error| {
                CallFailure::Host(format!("read the fact `{key}`: {}", chain(&error)))
            })?;
            return Ok(campaign.map(|campaign| campaign.status.as_str().to_owned()));
        }
        Ok(key
            .strip_prefix("zone/")
            .and_then(|key| zone_fact(key, now)))
    }
}

/// `ZONE/offset`, `ZONE/next-offset` or `ZONE/next-change-at`.
fn zone_fact(key: &str, now: Timestamp) -> Option<String> {
    let (zone, property) = key.rsplit_once('/')?;
    let offset = ZoneOffset::at(zone, now)?;
    match property {
        "offset" => Some(offset.seconds.to_string()),
        "next-offset" => offset.next.map(|(_, seconds)| seconds.to_string()),
        "next-change-at" => offset.next.map(|(at, _)| at.as_millis().to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zone_facts_are_named_by_zone_and_property() {
        // 2026-01-01T00:00:00Z
        let fact = |key| zone_fact(key, Timestamp(1_767_225_600_000));
        assert_eq!(fact("Europe/Berlin/offset").as_deref(), Some("3600"));
        assert_eq!(fact("Europe/Berlin/next-offset").as_deref(), Some("7200"));
        assert_eq!(
            fact("Europe/Berlin/next-change-at").as_deref(),
            Some("1774746000000")
        );
        assert_eq!(fact("America/New_York/offset").as_deref(), Some("-18000"));
        for absent in [
            "Asia/Kolkata/next-offset",
            "Europe/Atlantis/offset",
            "UTC",
            "UTC/name",
        ] {
            assert_eq!(fact(absent), None, "{absent}");
        }
    }
}
