//! Every log line of an error holds the error with all its causes, in the field `error`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

const LOG_MACROS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "event"];

#[test]
fn every_log_of_an_error_has_its_causes() {
    let host = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut wrong = Vec::new();
    let mut logged = 0;
    for path in sources(&host) {
        let text = fs::read_to_string(&path).expect("a source file");
        let file = LogLines::of(&text);
        logged += file.with_chain;
        let place = |line| format!("{}:{line}", path.display());
        wrong.extend(file.wrong.into_iter().map(place));
    }
    assert!(
        wrong.is_empty(),
        "write `error = %chain(&error)`: {wrong:?}"
    );
    assert!(logged > 25, "{logged} log lines of errors were found");
}

#[test]
fn a_log_of_an_error_without_its_causes_is_found() {
    for (line, is_right) in [
        (r#"tracing::warn!(error = %chain(&error), "failed");"#, true),
        (
            r#"tracing::warn!(%tenant, error = %chain(&*failure), "failed");"#,
            true,
        ),
        (
            r#"tracing::warn!(class = failure.class(), "failed");"#,
            true,
        ),
        (r#"tracing::warn!(tenant, "failed");"#, true),
        (r#"tracing::warn!(%error, "failed");"#, false),
        (r#"tracing::warn!(error, "failed");"#, false),
        (
            r#"tracing::warn!(error = &error as &dyn Error, "failed");"#,
            false,
        ),
        (r#"tracing::warn!(error = message, "failed");"#, false),
        (r#"tracing::warn!(reason = %failure, "failed");"#, false),
        (r#"tracing::warn!("failed: {error}");"#, false),
        (r#"tracing::warn!("failed: {failure:?}");"#, false),
        (
            r#"tracing::warn!(reason = %chain(&error), "failed");"#,
            false,
        ),
    ] {
        let file = LogLines::of(&format!(
            "fn run() {{ if let Err(failure) = work() {{ {line} }} }}"
        ));
        assert_eq!(file.wrong.is_empty(), is_right, "{line}");
    }
}

/// The log lines of a file.
#[derive(Default)]
struct LogLines {
    /// The names of errors in the file: `error`, and what `Err(...)` binds.
    errors: BTreeSet<String>,
    /// How many lines have the causes of an error.
    with_chain: usize,
    /// The numbers of the lines with an error but not its causes.
    wrong: Vec<usize>,
}

impl LogLines {
    fn of(text: &str) -> Self {
        let tokens: TokenStream = text.parse().expect("Rust");
        let mut file = Self::default();
        file.errors.insert("error".to_owned());
        file.find_errors(tokens.clone());
        file.find_macros(tokens);
        file
    }

    fn find_errors(&mut self, tokens: TokenStream) {
        let mut previous = String::new();
        for token in tokens {
            if let TokenTree::Group(group) = &token {
                let mut inner = group.stream().into_iter();
                if let (true, Some(TokenTree::Ident(name))) = (previous == "Err", inner.next()) {
                    self.errors.insert(name.to_string());
                }
                self.find_errors(group.stream());
            }
            previous = token.to_string();
        }
    }

    fn find_macros(&mut self, tokens: TokenStream) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        for (index, token) in tokens.iter().enumerate() {
            let TokenTree::Group(group) = token else {
                continue;
            };
            let is_log = index > 1
                && tokens[index - 1].to_string() == "!"
                && LOG_MACROS.contains(&&*tokens[index - 2].to_string());
            if is_log {
                self.check(group);
            } else {
                self.find_macros(group.stream());
            }
        }
    }

    fn check(&mut self, group: &Group) {
        let tokens: Vec<_> = group.stream().into_iter().collect();
        let mut is_right = true;
        let mut has_chain = false;
        for (index, token) in tokens.iter().enumerate() {
            let text = token.to_string();
            let next = tokens.get(index + 1).map(ToString::to_string);
            match token {
                TokenTree::Ident(_) if text == "chain" => {
                    has_chain = true;
                    let before = tokens[index.saturating_sub(3)..index].iter();
                    is_right &= before.map(ToString::to_string).eq(["error", "=", "%"]);
                }
                TokenTree::Ident(_) if self.errors.contains(&text) => {
                    let is_field = text == "error" && next.as_deref() == Some("=");
                    let value = tokens.get(index + 3).map(ToString::to_string);
                    is_right &= is_field && value.as_deref() == Some("chain")
                        || next.as_deref() == Some(".");
                }
                TokenTree::Literal(_) => {
                    let mut names = self.errors.iter();
                    is_right &= !names.any(|name| {
                        text.contains(&format!("{{{name}}}"))
                            || text.contains(&format!("{{{name}:"))
                    });
                }
                TokenTree::Group(inner) if inner.delimiter() != Delimiter::Parenthesis => {
                    is_right = false;
                }
                _ => {}
            }
        }
        if !is_right {
            self.wrong.push(group.span_open().start().line);
        }
        self.with_chain += usize::from(has_chain);
    }
}

/// The sources of all crates in a folder, without their tests' own.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut pending: Vec<_> = entries(folder).map(|name| name.join("src")).collect();
    let mut found = Vec::new();
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(entries(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    entries.map(|entry| entry.expect("an entry").path())
}
