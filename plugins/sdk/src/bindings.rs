//! Bindings that wit-bindgen generates from the contract.
//!
//! There is one module per interface instead of one per world, so that shared types exist once; the export macros
//! combine the modules of a world. Plugins use the types through the crate's other modules.
#![expect(
    missing_docs,
    clippy::same_length_and_capacity,
    reason = "generated: the contract comments what a name leaves open, and its ABI is unsafe"
)]

/// The interfaces of every world: `log` and `meta`.
pub mod every {
    wit_bindgen::generate!({
        inline: "
            package tidegate:sdk;
            world every-part {
                import tidegate:plugin/log@1.0.0;
                export tidegate:plugin/meta@1.0.0;
            }
        ",
        path: "wit",
        with: { "tidegate:plugin/types@1.0.0": super::strategy::tidegate::plugin::types },
        generate_all,
        additional_derives: [PartialEq, serde::Serialize, serde::Deserialize],
        pub_export_macro: true,
        export_macro_name: "export_every_part",
    });
}

/// The world `strategy`, and the types that all worlds share.
pub mod strategy {
    wit_bindgen::generate!({
        inline: "
            package tidegate:sdk;
            world strategy-part {
                import tidegate:plugin/types@1.0.0;
                export tidegate:plugin/rollout@1.0.0;
            }
        ",
        path: "wit",
        generate_all,
        additional_derives: [PartialEq, serde::Serialize, serde::Deserialize],
        generate_unused_types: true,
        pub_export_macro: true,
        export_macro_name: "export_strategy_part",
    });
}

/// What the world `strategy-with-assign` has beside `strategy`.
pub mod assignment {
    wit_bindgen::generate!({
        inline: "
            package tidegate:sdk;
            world assignment-part {
                export tidegate:plugin/assignment@1.0.0;
            }
        ",
        path: "wit",
        with: {
            "tidegate:plugin/types@1.0.0": super::strategy::tidegate::plugin::types,
            "tidegate:plugin/rollout@1.0.0": super::strategy::exports::tidegate::plugin::rollout,
        },
        additional_derives: [PartialEq, serde::Serialize, serde::Deserialize],
        pub_export_macro: true,
        export_macro_name: "export_assignment_part",
    });
}

/// The world `compatibility-policy`.
pub mod compatibility {
    wit_bindgen::generate!({
        inline: "
            package tidegate:sdk;
            world compatibility-part {
                export tidegate:plugin/compatibility@1.0.0;
            }
        ",
        path: "wit",
        with: { "tidegate:plugin/types@1.0.0": super::strategy::tidegate::plugin::types },
        additional_derives: [PartialEq, serde::Serialize, serde::Deserialize],
        pub_export_macro: true,
        export_macro_name: "export_compatibility_part",
    });
}

/// The world `health-policy`.
pub mod health {
    wit_bindgen::generate!({
        inline: "
            package tidegate:sdk;
            world health-part {
                export tidegate:plugin/health@1.0.0;
            }
        ",
        path: "wit",
        with: { "tidegate:plugin/types@1.0.0": super::strategy::tidegate::plugin::types },
        additional_derives: [PartialEq, serde::Serialize, serde::Deserialize],
        pub_export_macro: true,
        export_macro_name: "export_health_part",
    });
}
