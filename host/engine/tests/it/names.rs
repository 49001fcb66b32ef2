//! The names of the engine's enums are part of the REST API, DDI, the database, the journals and the metrics: renaming a
//! variant must not change them.

use strum::VariantNames;
use tidegate_engine::{
    ActorKind, Role,
    campaigns::MembershipStatus,
    ports::{CallFailure, EntryKind},
    updates::OfferRefusal,
};

#[test]
fn names_are_stable() {
    for (actual, expected) in [
        (Role::VARIANTS, "viewer publisher approver operator admin"),
        (
            EntryKind::VARIANTS,
            "plan assign check evaluate decide wants host",
        ),
        (ActorKind::VARIANTS, "key token command_line server"),
        (
            MembershipStatus::VARIANTS,
            "not_started not_selected excluded in_no_wave waiting passed_over admitted",
        ),
        (
            OfferRefusal::VARIANTS,
            "not_found named_twice update_open pinned already_installed incompatible \
             approval_decided",
        ),
        (
            CallFailure::VARIANTS,
            "plugin-error trap out-of-fuel deadline out-of-memory answer-too-large invalid-answer link host \
             invalid-record",
        ),
    ] {
        assert_eq!(actual.join(" "), expected);
    }
}
