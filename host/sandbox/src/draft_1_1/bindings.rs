//! Bindings that Wasmtime generates from the draft. The records that are those of 1.0 have the types of 1.0.

/// The records of 1.0's `rollout`, which the draft has in an interface that plugins import. Such an interface is expected
/// to have what a host would implement: nothing, as for `types`.
#[expect(unreachable_pub, reason = "the macro re-exports it")]
pub mod planning {
    pub use crate::since_1_0::bindings::exports::tidegate::plugin::rollout::*;
    pub use crate::since_1_0::bindings::tidegate::plugin::types::{
        Host, HostWithStore, add_to_linker,
    };
}

wasmtime::component::bindgen!({
    path: "tests/draft-1.1",
    inline: "
        package tidegate:host;

        world every {
            export tidegate:plugin/rollout@1.1.0;
        }
    ",
    with: {
        "tidegate:plugin/types@1.1.0": crate::since_1_0::bindings::tidegate::plugin::types,
        "tidegate:plugin/planning@1.1.0": crate::draft_1_1::bindings::planning,
    },
    additional_derives: [PartialEq, serde::Serialize, serde::Deserialize],
});
