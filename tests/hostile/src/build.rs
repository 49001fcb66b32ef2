//! Builds components from WebAssembly text.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use anyhow::{Context as _, Result};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

const BASE: &str = include_str!("../wat/base.wat");
const CONTRACT: &str = include_str!("../../../wit/since-1.0/package.wit");

/// Replacements for parts of the honest strategy, in WebAssembly text.
///
/// The body of a function gets the pointer to the input as `$input` and returns a pointer to the output. It may
/// call `$line` with a pointer and a length. The body of `decide` has a local `$at`.
#[derive(Debug, Clone, Copy, Hash)]
pub struct Hooks<'a> {
    plan: &'a str,
    assign: &'a str,
    decide: &'a str,
    schema: &'a str,
    extra: &'a str,
}

impl Default for Hooks<'_> {
    fn default() -> Self {
        Self {
            plan: "(i32.const 512)",
            assign: "(i32.const 512)",
            decide: "(i32.const 640)",
            schema: "{}",
            extra: "",
        }
    }
}

impl<'a> Hooks<'a> {
    /// Sets the body of `plan`.
    #[must_use]
    pub fn plan(self, plan: &'a str) -> Self {
        Self { plan, ..self }
    }

    /// Sets the body of `assign`.
    #[must_use]
    pub fn assign(self, assign: &'a str) -> Self {
        Self { assign, ..self }
    }

    /// Sets the body of `decide`.
    #[must_use]
    pub fn decide(self, decide: &'a str) -> Self {
        Self { decide, ..self }
    }

    /// Sets the config schema.
    #[must_use]
    pub fn schema(self, schema: &'a str) -> Self {
        Self { schema, ..self }
    }

    /// Adds fields to the module.
    #[must_use]
    pub fn extra(self, extra: &'a str) -> Self {
        Self { extra, ..self }
    }
}

/// Builds a strategy with these hooks. Strategies with other hooks are other versions of it.
pub fn strategy_with(hooks: &Hooks<'_>) -> Result<Vec<u8>> {
    encode(&text_with(hooks), CONTRACT)
}

fn text_with(hooks: &Hooks<'_>) -> String {
    let mut hash = DefaultHasher::new();
    hooks.hash(&mut hash);
    let version = format!("1.0.{}", hash.finish());
    BASE.replace(";;PLAN", hooks.plan)
        .replace(";;ASSIGN", hooks.assign)
        .replace(";;DECIDE", hooks.decide)
        .replace(";;MORE", hooks.extra)
        .replace("VERSION_LENGTH", &version.len().to_string())
        .replace("VERSION_TEXT", &version)
        .replace("SCHEMA_LENGTH", &hooks.schema.len().to_string())
        .replace("SCHEMA_TEXT", &hooks.schema.escape_default().to_string())
}

/// The honest strategy, built for a contract in which `decide` takes a number.
pub(crate) fn wrong_signature() -> Result<Vec<u8>> {
    let contract = CONTRACT.replace(
        "decide: func(observation: observation)",
        "decide: func(observation: u32)",
    );
    encode(&text_with(&Hooks::default()), &contract)
}

fn encode(text: &str, contract: &str) -> Result<Vec<u8>> {
    let mut module = wat::parse_str(text).context("parse the module")?;
    let mut resolve = Resolve::default();
    let package = resolve
        .push_str("package.wit", contract)
        .context("parse the contract")?;
    let world = resolve.select_world(&[package], Some("strategy-with-assign"))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    ComponentEncoder::default()
        .validate(true)
        .module(&module)?
        .encode()
}
