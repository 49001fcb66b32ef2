//! What a component's bytes say of it before anything is compiled: its imports and its world.

use tidegate_core::plugin::Kind;
use wasmparser::{
    Chunk, ComponentExternalKind, ComponentTypeRef, Encoding, Parser, Payload, WasmFeatures,
};

use crate::{since_1_0 as contract, text::cut};

/// Why bytes cannot be a plugin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAPlugin {
    #[error("it is {0} bytes long, and a component may have at most {1}")]
    TooLarge(u64, u64),
    #[error("it is no WebAssembly component: {0}")]
    Malformed(String),
    #[error(
        "it is a core module, not a component: wrap it with `wasm-tools component new` or `cargo xtask components`"
    )]
    CoreModule,
    #[error(
        "it imports `{0}`; a plugin may import nothing but `{log}`: no clock, no randomness, no files, no network",
        log = contract::LOG
    )]
    Import(String),
    #[error("it exports no `{0}`, which every plugin does")]
    NoMeta(&'static str),
    #[error(
        "it exports none of `{r}`, `{c}` and `{h}`: it must be made for one world of the contract",
        r = contract::interface(Kind::Strategy),
        c = contract::interface(Kind::Compatibility),
        h = contract::interface(Kind::Health)
    )]
    NoWorld,
    #[error("it exports both `{0}` and `{1}`: a plugin is made for one world")]
    TwoWorlds(&'static str, &'static str),
}

/// Checks size, imports and exports, and returns the world.
pub(crate) fn world_of(bytes: &[u8], most: u64) -> Result<Kind, NotAPlugin> {
    if bytes.len() as u64 > most {
        return Err(NotAPlugin::TooLarge(bytes.len() as u64, most));
    }
    if !bytes.starts_with(b"\0asm") {
        let why = "it does not begin as WebAssembly does";
        return Err(NotAPlugin::Malformed(why.to_owned()));
    }
    let outside = Outside::read(bytes)?;
    for (name, is_instance) in outside.imports {
        if !(is_instance && [contract::LOG, contract::TYPES].contains(&name)) {
            return Err(NotAPlugin::Import(cut(name, 200).to_owned()));
        }
    }
    let exports = |interface: &str| outside.exports.contains(&interface);
    if !exports(contract::META) {
        return Err(NotAPlugin::NoMeta(contract::META));
    }
    let mut kinds = [Kind::Strategy, Kind::Compatibility, Kind::Health]
        .into_iter()
        .filter(|kind| exports(contract::interface(*kind)));
    match (kinds.next(), kinds.next()) {
        (None, _) => Err(NotAPlugin::NoWorld),
        (Some(kind), None) => Ok(kind),
        (Some(one), Some(other)) => Err(NotAPlugin::TwoWorlds(
            contract::interface(one),
            contract::interface(other),
        )),
    }
}

/// The imports and exported instances of the outermost component.
#[derive(Default)]
struct Outside<'a> {
    imports: Vec<(&'a str, bool)>,
    exports: Vec<&'a str>,
}

impl<'a> Outside<'a> {
    /// Reads the outermost sections and skips what is nested: modules and components are the compiler's to check.
    fn read(mut bytes: &'a [u8]) -> Result<Self, NotAPlugin> {
        let malformed =
            |error: wasmparser::BinaryReaderError| NotAPlugin::Malformed(error.to_string());
        let mut parser = Parser::new(0);
        parser.set_features(WasmFeatures::all());
        let mut outside = Self::default();
        loop {
            let Chunk::Parsed { consumed, payload } =
                parser.parse(bytes, true).map_err(malformed)?
            else {
                return Err(NotAPlugin::Malformed("it ends too early".to_owned()));
            };
            bytes = bytes.get(consumed..).unwrap_or_default();
            match payload {
                Payload::Version {
                    encoding: Encoding::Module,
                    ..
                } => return Err(NotAPlugin::CoreModule),
                Payload::ModuleSection {
                    unchecked_range, ..
                }
                | Payload::ComponentSection {
                    unchecked_range, ..
                } => {
                    bytes = bytes.get(unchecked_range.len()..).ok_or_else(|| {
                        NotAPlugin::Malformed("it ends within a nested module".to_owned())
                    })?;
                }
                Payload::ComponentImportSection(imports) => {
                    for import in imports {
                        let import = import.map_err(malformed)?;
                        let is_instance = matches!(import.ty, ComponentTypeRef::Instance(_));
                        outside.imports.push((import.name.name, is_instance));
                    }
                }
                Payload::ComponentExportSection(exports) => {
                    for export in exports {
                        let export = export.map_err(malformed)?;
                        if export.kind == ComponentExternalKind::Instance {
                            outside.exports.push(export.name.name);
                        }
                    }
                }
                Payload::End(_) => return Ok(outside),
                _ => {}
            }
        }
    }
}
