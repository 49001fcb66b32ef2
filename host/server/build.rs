//! Compiles the list of the built-in plugins into the server, so that it knows them by their digests.
//!
//! The list, `SHA256SUMS`, is next to the components that `cargo xtask components` builds. It is found in cargo's target
//! folder, or is the file that the environment variable `TIDEGATE_BUILT_INS` names. Without it the server has no built-in
//! plugins, and says so when it starts.
//!
//! It also has the server built again when the folders change that `tidegate plugin new` writes: a new file in one of them is
//! not noticed by the macro that includes them.

use std::{
    env, fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

const VARIABLE: &str = "TIDEGATE_BUILT_INS";
/// The folders that are compiled in.
const INCLUDED: [&str; 2] = ["templates/plugin", "../../plugins/sdk"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    for folder in INCLUDED {
        println!("cargo::rerun-if-changed={folder}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let named = env::var_os(VARIABLE).map(PathBuf::from);
    let is_named = named.is_some();
    let list = match named.or_else(|| built_list(&out)) {
        Some(file) => {
            // As long as the file is missing, cargo runs this script at each build.
            println!("cargo::rerun-if-changed={}", file.display());
            read(&file, is_named)
        }
        None => String::new(),
    };
    fs::write(out.join("built_ins"), list).expect("write the list into OUT_DIR");
}

/// The list in cargo's target folder, which is marked as a cache.
fn built_list(out: &Path) -> Option<PathBuf> {
    let is_target = |folder: &&Path| folder.join("CACHEDIR.TAG").is_file();
    let target = out.ancestors().filter(is_target).last()?;
    Some(target.join("components").join("SHA256SUMS"))
}

fn read(file: &Path, is_required: bool) -> String {
    match fs::read_to_string(file) {
        Ok(list) if is_required && list.is_empty() => {
            panic!("{VARIABLE}: {} has no plugins", file.display())
        }
        Ok(list) => list,
        Err(error) if error.kind() == ErrorKind::NotFound && !is_required => String::new(),
        Err(error) => panic!("read {}: {error}", file.display()),
    }
}
