//! The contract's types and functions in C, which `tidegate plugin new --language c` writes into a project. They are
//! generated here, so that an author needs no generator.

use std::{env, fs};

use wit_bindgen_c::Opts;
use wit_bindgen_core::{Files, wit_parser::Resolve};

use crate::workspace::Workspace;

const CONTRACT: &str = "wit/since-1.0/package.wit";
const FOLDER: &str = "host/server/templates/plugin/c/bindings";
const WORLD: &str = "strategy";

/// What follows is a reference to the object file that is not generated.
const REFERENCE: &str = "\n// Ensure that the *_component_type.o object is linked in\n";

/// The files by their names. Without the object file, which is not text: `wasm-tools component embed` adds what it has.
fn generate(contract: &str) -> Vec<(String, String)> {
    let mut resolve = Resolve::default();
    let package = resolve
        .push_str(CONTRACT, contract)
        .expect("a valid contract");
    let world = resolve
        .select_world(&[package], Some(WORLD))
        .expect("the world");
    let options = Opts {
        no_object_file: true,
        ..Opts::default()
    };
    let mut files = Files::default();
    let mut generator = options.build();
    generator
        .generate(&mut resolve, world, &mut files)
        .expect("bindings");
    let text = |(name, bytes): (&str, &[u8])| {
        let text = str::from_utf8(bytes).expect("a text");
        let text = text.split(REFERENCE).next().expect("a part");
        (name.to_owned(), text.to_owned())
    };
    files.iter().map(text).collect()
}

#[test]
fn the_bindings_of_the_template_in_c_are_those_of_the_contract() {
    let root = Workspace::find().expect("a checkout").root;
    let contract = fs::read_to_string(root.join(CONTRACT)).expect("the contract");
    let files = generate(&contract);
    assert_eq!(files.len(), 2, "a source and its header");
    for (name, text) in files {
        let file = root.join(FOLDER).join(name);
        if env::var_os("BLESS").is_some() {
            fs::write(&file, &text).expect("write the bindings");
        }
        let committed = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            committed == text,
            "{} differs: run `BLESS=1 cargo test -p xtask bindings`",
            file.display()
        );
    }
}
