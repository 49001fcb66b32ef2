//! Keeps indefinite pronouns out of names, comments, texts and documentation: a sentence names its actor by the field's
//! term (caller, operator, device, server). CONTRIBUTING.md has the rules.

use std::fs;
use std::path::{Path, PathBuf};

const BANNED: [&str; 6] = [
    "whoever",
    "whomever",
    "nobody",
    "somebody",
    "everybody",
    "anybody",
];

/// Kinds of files that hold prose.
const EXTENSIONS: [&str; 6] = ["rs", "md", "sql", "toml", "sh", "yml"];

/// Not checked: the list itself, the rules that quote it, and the contract, whose words change with its next version.
const EXCEPTIONS: [&str; 3] = ["xtask/src/prose.rs", "CONTRIBUTING.md", "wit"];

#[test]
fn indefinite_pronouns_are_no_actors() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask is inside the workspace");
    let mut files = Vec::new();
    collect(root, root, &mut files);
    assert!(files.len() > 100, "the repository was found: {files:?}");
    let mut found = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file).expect("source files are UTF-8");
        for (number, line) in (1..).zip(text.lines()) {
            if let Some(word) = banned_word(line) {
                let file = file.strip_prefix(root).expect("it is below the root");
                found.push(format!(
                    "{}:{number}: {word}: {}",
                    file.display(),
                    line.trim()
                ));
            }
        }
    }
    assert!(
        found.is_empty(),
        "name the actor by its term, see CONTRIBUTING.md:\n{}",
        found.join("\n")
    );
}

#[test]
fn a_banned_word_is_found_in_prose_and_in_names() {
    assert_eq!(banned_word("/// Whoever asks."), Some("whoever"));
    assert_eq!(banned_word("fn nobody_is_asked()"), Some("nobody"));
    assert_eq!(banned_word("let embody = body;"), None);
}

/// The first banned word of a line. A word ends at anything but a letter, so that parts of names like `no_device` count.
fn banned_word(line: &str) -> Option<&'static str> {
    let line = line.to_lowercase();
    let mut words = line.split(|character: char| !character.is_alphabetic());
    words.find_map(|word| BANNED.into_iter().find(|banned| *banned == word))
}

/// Files below `folder`, without build products and hidden folders.
fn collect(root: &Path, folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the repository is readable") {
        let path = entry.expect("the repository is readable").path();
        let relative = path.strip_prefix(root).expect("it is below the root");
        let hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden
            || relative == Path::new("target")
            || EXCEPTIONS
                .iter()
                .any(|exception| relative == Path::new(exception))
        {
            continue;
        }
        if path.is_dir() {
            collect(root, &path, files);
        } else if path
            .extension()
            .is_some_and(|extension| EXTENSIONS.iter().any(|kind| extension == *kind))
        {
            files.push(path);
        }
    }
}
