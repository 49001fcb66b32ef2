//! Structs that have the same fields in the domain and in the contract, converted in both directions.

use tidegate_core::{measurement, plugin as core, wave};

use super::{
    bindings::{
        exports::tidegate::plugin::{assignment, compatibility, health, rollout},
        tidegate::plugin::types,
    },
    input::convert_all,
};

/// Converts two structs into each other field by field: as it is, with `into`, or `all` items of a list.
macro_rules! alike {
    (@ $value:expr) => { $value };
    (@ $value:expr, into) => { $value.into() };
    (@ $value:expr, all) => { convert_all($value) };
    ($($ours:path = $theirs:path { $($field:ident $(: $how:ident)?),+ $(,)? })+) => {$(
        impl From<$ours> for $theirs {
            fn from(from: $ours) -> Self {
                Self { $($field: alike!(@ from.$field $(, $how)?)),+ }
            }
        }

        impl From<$theirs> for $ours {
            fn from(from: $theirs) -> Self {
                Self { $($field: alike!(@ from.$field $(, $how)?)),+ }
            }
        }
    )+};
}

alike! {
    core::AssignInput = assignment::AssignInput {
        context: into, config, waves: all, groups, classes: all, page: into, group, class, place,
    }
    core::CheckInput = compatibility::CheckInput {
        context: into, firmware: into, page: into, classes: all, config,
    }
    core::HealthInput = health::HealthInput {
        context: into, firmware: into, total: into, failures: all, waves: all, durations: into,
        metrics: all, checks: all, config, state,
    }
    core::ModuleFacts = types::Module { part, name, version, size }
    core::PageOf = types::Page { number, total }
    core::GroupSize = rollout::GroupSize { name, devices }
    wave::Counts = types::Counts {
        pending, offered, in_progress, completed, failed, timed_out, cancelled, rejected,
    }
    wave::Failure = types::Failure { code, devices }
    measurement::HealthCheck = types::HealthCheck { name, passed, failed }
}
