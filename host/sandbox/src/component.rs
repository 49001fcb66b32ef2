//! Checks of a component's bytes before it is compiled: size, imports and world.

use strum::VariantArray;
use tidegate_core::{
    plugin::PluginKind,
    visible_text::{visible, visible_in_one_line},
};
use wasmparser::{
    BinaryReaderError, Chunk, ComponentExternalKind, ComponentTypeRef, Encoding, Parser, Payload,
    WasmFeatures,
};

use crate::{
    contract::Contract,
    limits::truncate,
    names::{ContractNames, contract_version},
    versions::Versions,
};

/// Bytes of a name that is shown.
const MAX_NAME_BYTES: usize = 200;

/// What a plugin implements: a world of a version of the contract.
#[derive(Clone, Copy)]
pub(crate) struct World {
    pub(crate) contract: &'static dyn Contract,
    pub(crate) kind: PluginKind,
}

/// Why a file is not a plugin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidComponent {
    #[error(
        "it is {0} bytes long, and a component may have at most {1} (the server's setting `sandbox.component_bytes`)"
    )]
    TooLarge(u64, u64),
    #[error("it is not a WebAssembly component: {0}")]
    Malformed(String),
    #[error(
        "it is a core module, not a component: convert it with `wasm-tools component new FILE -o COMPONENT`, or build it in a \
         project of `tidegate plugin new`, whose build makes a component"
    )]
    CoreModule,
    #[error(
        "it imports `{name}`; a plugin may only import `{log}`: no clock, no randomness, no files, no network"
    )]
    Import { name: String, log: &'static str },
    #[error("it is built for version {version} of the contract; this server speaks {spoken}")]
    Version { version: String, spoken: String },
    #[error("it does not export `{0}`, which every plugin must export")]
    NoMeta(&'static str),
    #[error(
        "it exports none of `{r}`, `{c}` and `{h}`; it must implement one world of the contract",
        r = .0.rollout,
        c = .0.compatibility,
        h = .0.health
    )]
    NoWorld(&'static ContractNames),
    #[error("it exports both `{0}` and `{1}`; a plugin must implement only one world")]
    TwoWorlds(&'static str, &'static str),
}

/// Checks a component's size, imports and exports, and returns its world, of one of these versions of the contract.
pub(crate) fn world_of(
    bytes: &[u8],
    max_bytes: u64,
    versions: Versions,
) -> Result<World, InvalidComponent> {
    if bytes.len() as u64 > max_bytes {
        return Err(InvalidComponent::TooLarge(bytes.len() as u64, max_bytes));
    }
    check_magic_number(bytes)?;
    let interface = OuterInterface::read(bytes)?;
    check_versions(&interface, versions)?;
    let contract = contract_of(&interface, versions);
    let names = contract.names();
    check_imports(&interface, names)?;
    if !interface.exports(names, names.meta) {
        return Err(InvalidComponent::NoMeta(names.meta));
    }
    let mut kinds = <PluginKind as VariantArray>::VARIANTS
        .iter()
        .copied()
        .filter(|kind| interface.exports(names, names.world(*kind)));
    match (kinds.next(), kinds.next()) {
        (None, _) => Err(InvalidComponent::NoWorld(names)),
        (Some(kind), None) => Ok(World { contract, kind }),
        (Some(first), Some(second)) => Err(InvalidComponent::TwoWorlds(
            names.world(first),
            names.world(second),
        )),
    }
}

/// Checks that every interface of the contract is of a version that is spoken.
fn check_versions(
    interface: &OuterInterface<'_>,
    versions: Versions,
) -> Result<(), InvalidComponent> {
    let imports = interface.imports.iter().map(|(name, _)| *name);
    let mut names = imports.chain(interface.exports.iter().copied());
    match names.find_map(|name| other_version(name, versions)) {
        None => Ok(()),
        Some(version) => Err(InvalidComponent::Version {
            version,
            spoken: versions.list(),
        }),
    }
}

/// The version in the name of an interface of the contract, if it is none of these.
fn other_version(name: &str, versions: Versions) -> Option<String> {
    let version = contract_version(name)?;
    let mut spoken = versions.iter();
    let is_spoken = spoken.any(|contract| contract.names().has_patch(version));
    (!is_spoken).then(|| visible(truncate(version, 64)).into_owned())
}

/// The newest version whose `meta` is exported. Without it the component is no plugin, and is judged by the newest one.
fn contract_of(interface: &OuterInterface<'_>, versions: Versions) -> &'static dyn Contract {
    let is_exported = |contract: &&'static dyn Contract| {
        let names = contract.names();
        interface.exports(names, names.meta)
    };
    versions
        .iter()
        .rfind(is_exported)
        .unwrap_or_else(|| versions.newest())
}

fn check_imports(
    interface: &OuterInterface<'_>,
    names: &ContractNames,
) -> Result<(), InvalidComponent> {
    let is_allowed = |name: &str| {
        let mut allowed = names.types.iter().chain([&names.log]);
        allowed.any(|allowed| names.is_patch_of(name, allowed))
    };
    let mut imports = interface.imports.iter();
    match imports.find(|(name, is_instance)| !(*is_instance && is_allowed(name))) {
        None => Ok(()),
        Some((name, _)) => Err(InvalidComponent::Import {
            name: visible(truncate(name, MAX_NAME_BYTES)).into_owned(),
            log: names.log,
        }),
    }
}

fn check_magic_number(bytes: &[u8]) -> Result<(), InvalidComponent> {
    if bytes.starts_with(b"\0asm") {
        return Ok(());
    }
    let reason = "the magic number is missing";
    Err(InvalidComponent::Malformed(reason.to_owned()))
}

/// The names of what a component imports and exports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentInterface {
    /// Its imports.
    pub imports: Vec<String>,
    /// Its exported instances.
    pub exports: Vec<String>,
    /// The size of the memories that an instance starts with, in bytes.
    pub initial_memory: u64,
}

impl ComponentInterface {
    /// Reads the names in a component, whether it is a plugin or not. The error says why it is no component.
    pub fn read(component: &[u8]) -> Result<Self, String> {
        let read = || {
            check_magic_number(component)?;
            let outer = OuterInterface::read(component)?;
            let shown = |name: &str| visible(truncate(name, MAX_NAME_BYTES)).into_owned();
            Ok::<_, InvalidComponent>(Self {
                imports: outer.imports.iter().map(|(name, _)| shown(name)).collect(),
                exports: outer.exports.iter().map(|name| shown(name)).collect(),
                initial_memory: initial_memory(component).map_err(|error| malformed(&error))?,
            })
        };
        read().map_err(|error| error.to_string())
    }
}

/// The size of all memories that the modules of a component define. A component of a plugin's toolchain instantiates each
/// module once.
fn initial_memory(component: &[u8]) -> Result<u64, BinaryReaderError> {
    const PAGE_BYTES: u64 = 64 << 10;
    let mut pages: u64 = 0;
    for payload in Parser::new(0).parse_all(component) {
        if let Payload::MemorySection(memories) = payload? {
            for memory in memories {
                pages = pages.saturating_add(memory?.initial);
            }
        }
    }
    Ok(pages.saturating_mul(PAGE_BYTES))
}

fn malformed(error: &BinaryReaderError) -> InvalidComponent {
    InvalidComponent::Malformed(visible_in_one_line(&error.to_string()).into_owned())
}

/// The imports and the exported instances of the outermost component.
#[derive(Default)]
struct OuterInterface<'a> {
    imports: Vec<(&'a str, bool)>,
    exports: Vec<&'a str>,
}

impl<'a> OuterInterface<'a> {
    /// Whether it exports an interface of the contract, in any patch version.
    fn exports(&self, names: &ContractNames, interface: &str) -> bool {
        let mut exports = self.exports.iter();
        exports.any(|name| names.is_patch_of(name, interface))
    }

    /// Reads the outermost sections. Nested modules and components are skipped: the compiler checks them.
    fn read(mut bytes: &'a [u8]) -> Result<Self, InvalidComponent> {
        let mut parser = Parser::new(0);
        parser.set_features(WasmFeatures::all());
        let mut interface = Self::default();
        loop {
            let Chunk::Parsed { consumed, payload } = parser
                .parse(bytes, true)
                .map_err(|error| malformed(&error))?
            else {
                return Err(InvalidComponent::Malformed("it is truncated".to_owned()));
            };
            bytes = bytes.get(consumed..).unwrap_or_default();
            match payload {
                Payload::Version {
                    encoding: Encoding::Module,
                    ..
                } => return Err(InvalidComponent::CoreModule),
                Payload::ModuleSection {
                    unchecked_range, ..
                }
                | Payload::ComponentSection {
                    unchecked_range, ..
                } => {
                    bytes = bytes.get(unchecked_range.len()..).ok_or_else(|| {
                        InvalidComponent::Malformed(
                            "it is truncated within a nested module".to_owned(),
                        )
                    })?;
                }
                Payload::ComponentImportSection(imports) => {
                    for import in imports {
                        let import = import.map_err(|error| malformed(&error))?;
                        let is_instance = matches!(import.ty, ComponentTypeRef::Instance(_));
                        interface.imports.push((import.name.name, is_instance));
                    }
                }
                Payload::ComponentExportSection(exports) => {
                    for export in exports {
                        let export = export.map_err(|error| malformed(&error))?;
                        if export.kind == ComponentExternalKind::Instance {
                            interface.exports.push(export.name.name);
                        }
                    }
                }
                Payload::End(_) => return Ok(interface),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_patch_version_of_an_interface_is_the_interface() {
        let names = Versions::SPOKEN.newest().names();
        for (name, is_same) in [
            ("tidegate:plugin/meta@1.0.0", true),
            ("tidegate:plugin/meta@1.0.17", true),
            ("tidegate:plugin/meta@1.0.", false),
            ("tidegate:plugin/meta@1.0.1-rc.1", false),
            ("tidegate:plugin/meta@1.1.0", false),
            ("tidegate:plugin/meta@1.00", false),
            ("tidegate:plugin/meta", false),
            ("tidegate:plugin/rollout@1.0.0", false),
        ] {
            assert_eq!(names.is_patch_of(name, names.meta), is_same, "{name}");
        }
    }

    #[test]
    fn versions_that_the_server_does_not_speak_are_named() {
        for (name, version) in [
            ("tidegate:plugin/rollout@1.0.3", None),
            ("tidegate:plugin/rollout@1.1.0", Some("1.1.0")),
            ("tidegate:plugin/rollout@2.0.0", Some("2.0.0")),
            ("wasi:clocks/monotonic-clock@0.2.3", None),
        ] {
            let other = other_version(name, Versions::SPOKEN);
            assert_eq!(other.as_deref(), version, "{name}");
        }
    }
}
