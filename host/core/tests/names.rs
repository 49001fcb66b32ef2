//! The names of enums are part of the REST API, DDI, the database and the journals: renaming a variant must not change
//! them.

use std::{fmt::Debug, str::FromStr};

use strum::{VariantArray, VariantNames};
use tidegate_core::{
    access::Registration,
    campaign::{CampaignStatus, Priority},
    device::{AttributeMode, DeviceState},
    feedback::{Execution, Finished},
    log::LogSource,
    mode::{DeviceMode, SkipReason},
    plugin::{OperatorActKind, Origin, PluginKind, RevisionState, RollbackScope},
    settings::VersionScheme,
    update::{HandlingType, OnDenied, SuccessCriteriaName, UpdateStatus, UpdateTypeName},
};

/// Checks that the variants have these names, in this order, and that each is parsed back from its name.
#[track_caller]
fn assert_names<T>(expected: &[&str])
where
    T: VariantArray + VariantNames + FromStr + Copy + Into<&'static str> + PartialEq + Debug,
{
    assert_eq!(<T as VariantNames>::VARIANTS, expected);
    for (variant, name) in <T as VariantArray>::VARIANTS.iter().zip(expected) {
        assert_eq!((*variant).into(), *name);
        assert_eq!(name.parse::<T>().ok(), Some(*variant));
        assert!(name.to_uppercase().parse::<T>().is_err());
    }
}

#[test]
fn names_are_stable_and_parsed_back() {
    assert_names::<Registration>(&["open", "allow_list"]);
    assert_names::<Priority>(&["low", "normal", "high", "critical", "emergency"]);
    assert_names::<CampaignStatus>(&[
        "created",
        "in_progress",
        "paused",
        "held",
        "rolling_back",
        "rolled_back",
        "completed",
        "failed",
        "cancelled",
    ]);
    assert_names::<DeviceState>(&[
        "unknown",
        "registered",
        "pending",
        "in_sync",
        "error",
        "overdue",
    ]);
    assert_names::<VersionScheme>(&["semver", "loose"]);
    assert_names::<AttributeMode>(&["merge", "replace", "remove"]);
    assert_names::<Execution>(&[
        "closed",
        "proceeding",
        "canceled",
        "scheduled",
        "rejected",
        "resumed",
        "download",
        "downloaded",
        "confirmed",
        "denied",
    ]);
    assert_names::<Finished>(&["success", "failure", "none"]);
    assert_names::<LogSource>(&["feedback", "device", "host"]);
    assert_names::<DeviceMode>(&["rollout", "latest", "manual"]);
    assert_names::<SkipReason>(&["pinned", "mode", "feed", "superseded"]);
    assert_names::<PluginKind>(&["strategy", "compatibility", "health"]);
    assert_names::<Origin>(&["built_in", "folder", "upload"]);
    assert_names::<RevisionState>(&["candidate", "enabled", "deprecated", "disabled"]);
    assert_names::<RollbackScope>(&["everything", "in_flight"]);
    assert_names::<OperatorActKind>(&["started", "paused", "resumed", "advanced"]);
    assert_names::<HandlingType>(&["skip", "attempt", "forced"]);
    assert_names::<OnDenied>(&["offer_again", "reject"]);
    assert_names::<SuccessCriteriaName>(&["reported", "attested", "soaked"]);
    assert_names::<UpdateTypeName>(&["forced", "soft", "time_forced", "download_only"]);
    assert_names::<UpdateStatus>(&[
        "waiting_approval",
        "scheduled",
        "waiting_confirmation",
        "offered",
        "downloading",
        "installing",
        "verifying",
        "cancelling",
        "completed",
        "failed",
        "timed_out",
        "cancelled",
        "rejected",
    ]);
}
