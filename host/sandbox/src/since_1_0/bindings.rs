//! Bindings that Wasmtime generates from `wit/since-1.0`.
//!
//! An extra world exports every interface, so that the worlds share their types. No component has that world: exports
//! are looked up one by one. The serde derives define the JSON of records and goldens: fields in `snake_case`, cases in
//! `CamelCase`.

wasmtime::component::bindgen!({
    path: "../../wit/since-1.0",
    inline: "
        package tidegate:host;

        world every {
            export tidegate:plugin/meta@1.0.0;
            export tidegate:plugin/rollout@1.0.0;
            export tidegate:plugin/assignment@1.0.0;
            export tidegate:plugin/compatibility@1.0.0;
            export tidegate:plugin/health@1.0.0;
        }
    ",
    additional_derives: [PartialEq, serde::Serialize, serde::Deserialize],
});
