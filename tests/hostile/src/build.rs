//! Builds components from WebAssembly text.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use anyhow::{Context as _, Result};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

const BASE: &str = include_str!("../wat/base.wat");
const CONTRACT: &str = include_str!("../../../wit/since-1.0/package.wit");
/// The version in the names of the contract's interfaces.
const VERSION: &str = "@1.0.0";

/// A world of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum World {
    /// `strategy-with-assign`.
    #[default]
    Strategy,
    /// `compatibility-policy`.
    Compatibility,
    /// `health-policy`.
    Health,
}

impl World {
    fn name(self) -> &'static str {
        match self {
            Self::Strategy => "strategy-with-assign",
            Self::Compatibility => "compatibility-policy",
            Self::Health => "health-policy",
        }
    }

    /// The functions of the world, in WebAssembly text.
    fn text(self) -> &'static str {
        match self {
            Self::Strategy => include_str!("../wat/strategy.wat"),
            Self::Compatibility => include_str!("../wat/compatibility.wat"),
            Self::Health => include_str!("../wat/health.wat"),
        }
    }
}

/// A function of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Function {
    /// `describe` of every world.
    Describe,
    /// `validate` of every world.
    Validate,
    /// `wants` of every world.
    Wants,
    /// `plan` of a strategy.
    Plan,
    /// `assign` of a strategy.
    Assign,
    /// `decide` of a strategy.
    Decide,
    /// `check` of a compatibility policy.
    Check,
    /// `evaluate` of a health policy.
    Evaluate,
}

impl Function {
    /// All functions.
    pub const ALL: [Self; 8] = [
        Self::Describe,
        Self::Validate,
        Self::Wants,
        Self::Plan,
        Self::Assign,
        Self::Decide,
        Self::Check,
        Self::Evaluate,
    ];

    /// The name of its export from the module.
    pub fn export(self) -> &'static str {
        match self {
            Self::Describe => "tidegate:plugin/meta@1.0.0#describe",
            Self::Validate => "tidegate:plugin/meta@1.0.0#validate",
            Self::Wants => "tidegate:plugin/meta@1.0.0#wants",
            Self::Plan => "tidegate:plugin/rollout@1.0.0#plan",
            Self::Assign => "tidegate:plugin/assignment@1.0.0#assign",
            Self::Decide => "tidegate:plugin/rollout@1.0.0#decide",
            Self::Check => "tidegate:plugin/compatibility@1.0.0#check",
            Self::Evaluate => "tidegate:plugin/health@1.0.0#evaluate",
        }
    }

    /// The address of its output.
    pub fn output(self) -> u32 {
        match self {
            Self::Describe => 256,
            Self::Validate => 16,
            Self::Wants => 336,
            Self::Plan | Self::Assign | Self::Check | Self::Evaluate => 512,
            Self::Decide => 640,
        }
    }

    fn world(self) -> World {
        match self {
            Self::Check => World::Compatibility,
            Self::Evaluate => World::Health,
            _ => World::Strategy,
        }
    }

    /// Where its body is inserted.
    fn mark(self) -> &'static str {
        match self {
            Self::Describe => ";;DESCRIBE",
            Self::Validate => ";;VALIDATE",
            Self::Wants => ";;WANTS",
            Self::Plan => ";;PLAN",
            Self::Assign => ";;ASSIGN",
            Self::Decide => ";;DECIDE",
            Self::Check => ";;CHECK",
            Self::Evaluate => ";;EVALUATE",
        }
    }
}

/// Replacements for parts of an honest plugin, in WebAssembly text.
///
/// The body of a function gets the pointer to the input as `$input`, has a local `$at`, and returns a pointer to the
/// output. It may call `$line` with a pointer and a length.
#[derive(Debug, Clone, Hash)]
pub struct Hooks {
    world: World,
    bodies: BTreeMap<Function, String>,
    allocate: String,
    schema: String,
    imports: String,
    extra: String,
    contract: String,
}

impl Default for Hooks {
    fn default() -> Self {
        Self::of(World::default())
    }
}

impl Hooks {
    /// An honest plugin of this world.
    pub fn of(world: World) -> Self {
        Self {
            world,
            bodies: BTreeMap::new(),
            allocate: String::new(),
            schema: "{}".to_owned(),
            imports: String::new(),
            extra: String::new(),
            contract: CONTRACT.to_owned(),
        }
    }

    /// A plugin of the function's world, with this body of the function.
    pub fn at(function: Function, body: impl Into<String>) -> Self {
        Self::of(function.world()).body(function, body)
    }

    /// Sets the body of a function of this world.
    #[must_use]
    pub fn body(mut self, function: Function, body: impl Into<String>) -> Self {
        self.bodies.insert(function, body.into());
        self
    }

    /// Sets the body of `plan`.
    #[must_use]
    pub fn plan(self, plan: impl Into<String>) -> Self {
        self.body(Function::Plan, plan)
    }

    /// Sets the body of `assign`.
    #[must_use]
    pub fn assign(self, assign: impl Into<String>) -> Self {
        self.body(Function::Assign, assign)
    }

    /// Sets the body of `decide`.
    #[must_use]
    pub fn decide(self, decide: impl Into<String>) -> Self {
        self.body(Function::Decide, decide)
    }

    /// Sets the config schema.
    #[must_use]
    pub fn schema(self, schema: impl Into<String>) -> Self {
        let schema = schema.into();
        Self { schema, ..self }
    }

    /// Adds instructions at the start of the function by which the host allocates memory for inputs.
    #[must_use]
    pub fn allocate(self, allocate: impl Into<String>) -> Self {
        let allocate = allocate.into();
        Self { allocate, ..self }
    }

    /// Adds fields to the module.
    #[must_use]
    pub fn extra(mut self, extra: impl AsRef<str>) -> Self {
        self.extra.push_str(extra.as_ref());
        self.extra.push('\n');
        self
    }

    /// Adds bytes to the memory at this address.
    #[must_use]
    pub fn data(self, at: u32, bytes: impl AsRef<[u8]>) -> Self {
        let mut escaped = String::new();
        for byte in bytes.as_ref() {
            write!(escaped, "\\{byte:02x}").expect("a text grows");
        }
        self.extra(format!("(data (i32.const {at}) \"{escaped}\")"))
    }

    /// Adds imports to the module.
    #[must_use]
    pub fn imports(self, imports: impl Into<String>) -> Self {
        let imports = imports.into();
        Self { imports, ..self }
    }

    /// Replaces a part of the contract that the component is built for.
    #[must_use]
    pub fn contract(mut self, part: &str, with: &str) -> Self {
        self.contract = self.contract.replace(part, with);
        self
    }

    fn text(&self) -> String {
        let mut hash = DefaultHasher::new();
        self.hash(&mut hash);
        let version = format!("1.0.{}", hash.finish());
        let mut text = BASE.replace(";;WORLD", self.world.text());
        for function in Function::ALL {
            let honest = || format!("(i32.const {})", function.output());
            let body = self.bodies.get(&function).cloned();
            text = text.replace(function.mark(), &body.unwrap_or_else(honest));
        }
        text.replace(";;ALLOCATE", &self.allocate)
            .replace(";;IMPORTS", &self.imports)
            .replace(";;MORE", &self.extra)
            .replace("VERSION_LENGTH", &version.len().to_string())
            .replace("VERSION_TEXT", &version)
            .replace("SCHEMA_LENGTH", &self.schema.len().to_string())
            .replace("SCHEMA_TEXT", &self.schema.escape_default().to_string())
    }

    /// The core module, without the component around it.
    pub(crate) fn module(&self) -> Result<Vec<u8>> {
        wat::parse_str(self.text()).context("parse the module")
    }

    /// Builds the component. Components with other hooks are other versions of the plugin.
    pub fn component(&self) -> Result<Vec<u8>> {
        encode(self.module()?, &self.contract, self.world)
    }

    /// Builds the component for another version of the contract, such as `@1.0.9`, which is that of 1.0 in all else.
    pub(crate) fn component_for(&self, version: &str) -> Result<Vec<u8>> {
        let contract = self.contract.replace(VERSION, version);
        self.component_of(version, &contract)
    }

    /// Builds the component for another version of the contract, whose text this is.
    pub fn component_of(&self, version: &str, contract: &str) -> Result<Vec<u8>> {
        let text = self.text().replace(VERSION, version);
        let module = wat::parse_str(text).context("parse the module")?;
        encode(module, contract, self.world)
    }
}

/// Builds a plugin with these hooks.
pub fn strategy_with(hooks: &Hooks) -> Result<Vec<u8>> {
    hooks.component()
}

fn encode(mut module: Vec<u8>, contract: &str, world: World) -> Result<Vec<u8>> {
    let mut resolve = Resolve::default();
    let package = resolve
        .push_str("package.wit", contract)
        .context("parse the contract")?;
    let world = resolve.select_world(&[package], Some(world.name()))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    ComponentEncoder::default()
        .validate(true)
        .module(&module)?
        .encode()
}
