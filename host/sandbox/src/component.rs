//! Checks of a component's bytes before it is compiled: size, imports and world.

use tidegate_core::{plugin::PluginKind, visible_text::visible};
use wasmparser::{
    BinaryReaderError, Chunk, ComponentExternalKind, ComponentTypeRef, Encoding, Parser, Payload,
    WasmFeatures,
};

use crate::{limits::truncate, since_1_0 as contract};

/// Bytes of a name that is shown.
const MAX_NAME_BYTES: usize = 200;

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
        "it is a core module, not a component: wrap it with `wasm-tools component new` or `cargo xtask components`"
    )]
    CoreModule,
    #[error(
        "it imports `{0}`; a plugin may only import `{log}`: no clock, no randomness, no files, no network",
        log = contract::LOG
    )]
    Import(String),
    #[error(
        "it is built for version {0} of the contract; this server speaks {minor}",
        minor = contract::MINOR
    )]
    Version(String),
    #[error("it does not export `{0}`, which every plugin must export")]
    NoMeta(&'static str),
    #[error(
        "it exports none of `{r}`, `{c}` and `{h}`; it must implement one world of the contract",
        r = contract::interface(PluginKind::Strategy),
        c = contract::interface(PluginKind::Compatibility),
        h = contract::interface(PluginKind::Health)
    )]
    NoWorld,
    #[error("it exports both `{0}` and `{1}`; a plugin must implement only one world")]
    TwoWorlds(&'static str, &'static str),
}

/// Checks a component's size, imports and exports, and returns its world.
pub(crate) fn world_of(bytes: &[u8], max_bytes: u64) -> Result<PluginKind, InvalidComponent> {
    if bytes.len() as u64 > max_bytes {
        return Err(InvalidComponent::TooLarge(bytes.len() as u64, max_bytes));
    }
    check_magic_number(bytes)?;
    let interface = OuterInterface::read(bytes)?;
    let names = interface.imports.iter().map(|(name, _)| *name);
    if let Some(version) = names
        .chain(interface.exports.iter().copied())
        .find_map(other_version)
    {
        return Err(InvalidComponent::Version(version));
    }
    for (name, is_instance) in interface.imports {
        let is_allowed = [contract::LOG, contract::TYPES]
            .iter()
            .any(|allowed| is_patch_of(name, allowed));
        if !(is_instance && is_allowed) {
            return Err(InvalidComponent::Import(
                visible(truncate(name, MAX_NAME_BYTES)).into_owned(),
            ));
        }
    }
    let exports = |interface_name: &str| {
        let mut names = interface.exports.iter();
        names.any(|name| is_patch_of(name, interface_name))
    };
    if !exports(contract::META) {
        return Err(InvalidComponent::NoMeta(contract::META));
    }
    let mut kinds = [
        PluginKind::Strategy,
        PluginKind::Compatibility,
        PluginKind::Health,
    ]
    .into_iter()
    .filter(|kind| exports(contract::interface(*kind)));
    match (kinds.next(), kinds.next()) {
        (None, _) => Err(InvalidComponent::NoWorld),
        (Some(kind), None) => Ok(kind),
        (Some(first), Some(second)) => Err(InvalidComponent::TwoWorlds(
            contract::interface(first),
            contract::interface(second),
        )),
    }
}

fn check_magic_number(bytes: &[u8]) -> Result<(), InvalidComponent> {
    if bytes.starts_with(b"\0asm") {
        return Ok(());
    }
    let reason = "the magic number is missing";
    Err(InvalidComponent::Malformed(reason.to_owned()))
}

/// Whether a name is that of this interface, in any patch version: these differ in comments only.
fn is_patch_of(name: &str, interface: &str) -> bool {
    match (name.split_once('@'), interface.split_once('@')) {
        (Some((name, version)), Some((interface, _))) => name == interface && is_spoken(version),
        _ => false,
    }
}

/// Whether a version is a patch version of the contract that this server speaks.
fn is_spoken(version: &str) -> bool {
    let patch = version.strip_prefix(contract::MINOR);
    let patch = patch.and_then(|rest| rest.strip_prefix('.'));
    patch.is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The version in the name of an interface of the contract, if this server does not speak it.
fn other_version(name: &str) -> Option<String> {
    let (_, version) = name.strip_prefix(contract::PACKAGE)?.split_once('@')?;
    (!is_spoken(version)).then(|| visible(truncate(version, 64)).into_owned())
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
    InvalidComponent::Malformed(visible(&error.to_string()).into_owned())
}

/// The imports and the exported instances of the outermost component.
#[derive(Default)]
struct OuterInterface<'a> {
    imports: Vec<(&'a str, bool)>,
    exports: Vec<&'a str>,
}

impl<'a> OuterInterface<'a> {
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
            assert_eq!(is_patch_of(name, contract::META), is_same, "{name}");
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
            assert_eq!(other_version(name).as_deref(), version, "{name}");
        }
    }
}
