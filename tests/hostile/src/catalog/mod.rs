//! The catalog of hostile components: each with the step at which the host stops it, and how.

mod answers;
mod bombs;
mod features;
mod files;
mod imports;
mod loops;
mod memory;
mod names;
mod rules;
mod schemas;
mod texts;

use std::fmt::Write as _;

use anyhow::{Context as _, Result};

use crate::build::{Function, Hooks};

/// A hostile component, and what becomes of it.
#[derive(Debug, Clone)]
pub struct HostileCase {
    /// What it does.
    pub name: String,
    /// Its bytes.
    pub component: Vec<u8>,
    /// The step that meets what it does.
    pub stage: Stage,
    /// `ok`, `rejected` for an upload, or the class of the call's failure.
    pub class: &'static str,
    /// A part of the message.
    pub message: String,
}

/// A step of a component's life in the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It is uploaded.
    Upload,
    /// It is installed already, and a function is called.
    Call(Function),
}

/// A kind of hostile components.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostileKind {
    /// Calls that do not end, or that take more time than fuel.
    Loops,
    /// Memories, tables, instances and other parts beyond the limits.
    Memory,
    /// Components that take long to compile.
    CompileBombs,
    /// Outputs that are too large or malformed.
    Answers,
    /// Well-formed outputs that the contract forbids.
    Rules,
    /// Texts that act where they are shown, and log lines.
    Texts,
    /// Forbidden imports, other versions, other worlds.
    Imports,
    /// Names and versions of plugins.
    Names,
    /// Config schemas.
    Schemas,
    /// Proposals of WebAssembly that are off.
    Features,
    /// Damaged files, and sections that no component needs.
    Files,
}

impl HostileKind {
    /// All kinds.
    pub const ALL: [Self; 11] = [
        Self::Loops,
        Self::Memory,
        Self::CompileBombs,
        Self::Answers,
        Self::Rules,
        Self::Texts,
        Self::Imports,
        Self::Names,
        Self::Schemas,
        Self::Features,
        Self::Files,
    ];

    /// Builds the components of the kind.
    pub fn cases(self) -> Result<Vec<HostileCase>> {
        match self {
            Self::Loops => loops::cases(),
            Self::Memory => memory::cases(),
            Self::CompileBombs => bombs::cases(),
            Self::Answers => answers::cases(),
            Self::Rules => rules::cases(),
            Self::Texts => texts::cases(),
            Self::Imports => imports::cases(),
            Self::Names => names::cases(),
            Self::Schemas => schemas::cases(),
            Self::Features => features::cases(),
            Self::Files => files::cases(),
        }
    }
}

/// A component that is refused at its upload.
fn rejected(
    name: impl Into<String>,
    component: Result<Vec<u8>>,
    message: &str,
) -> Result<HostileCase> {
    case(name, component, Stage::Upload, "rejected", message)
}

/// A component that is accepted at its upload.
fn accepted(name: impl Into<String>, component: Result<Vec<u8>>) -> Result<HostileCase> {
    case(name, component, Stage::Upload, "ok", "")
}

/// A plugin whose function fails, and the failure's class and message.
fn fails(
    name: impl Into<String>,
    hooks: &Hooks,
    function: Function,
    class: &'static str,
    message: &str,
) -> Result<HostileCase> {
    case(
        name,
        hooks.component(),
        Stage::Call(function),
        class,
        message,
    )
}

/// A plugin whose function returns an output.
fn answers(name: impl Into<String>, hooks: &Hooks, function: Function) -> Result<HostileCase> {
    fails(name, hooks, function, "ok", "")
}

fn case(
    name: impl Into<String>,
    component: Result<Vec<u8>>,
    stage: Stage,
    class: &'static str,
    message: &str,
) -> Result<HostileCase> {
    let name = name.into();
    Ok(HostileCase {
        component: component.with_context(|| format!("build {name}"))?,
        name,
        stage,
        class,
        message: message.to_owned(),
    })
}

/// A component in the text format.
fn component_text(text: &str) -> Result<Vec<u8>> {
    Ok(wat::parse_str(text)?)
}

/// Where hostile plugins keep their texts: behind the inputs.
const TEXT: u32 = 131_072;

/// Instructions that store words, and then return the address of a function's output.
fn output(function: Function, words: &[(u32, u32)]) -> String {
    let mut body = String::new();
    for (at, value) in words {
        write!(body, "(i32.store (i32.const {at}) (i32.const {value})) ").expect("a text grows");
    }
    write!(body, "(i32.const {})", function.output()).expect("a text grows");
    body
}

/// A plugin whose function stores these words into its output, and that has this text at [`TEXT`].
fn storing(function: Function, words: &[(u32, u32)], text: impl AsRef<[u8]>) -> Hooks {
    Hooks::at(function, output(function, words)).data(TEXT, text)
}

/// A custom section of a component.
fn custom_section(name: &str, payload: &[u8]) -> Vec<u8> {
    let mut content = leb128(name.len());
    content.extend(name.as_bytes());
    content.extend(payload);
    [&[0], &leb128(content.len())[..], &content].concat()
}

fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
