//! Checks that every statement names the tenant. Reads the texts of all statements from the sources of this crate.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::migrations::MIGRATIONS;

/// Exceptions, which read or write across tenants: file, part of the text, reason.
const ACROSS_TENANTS: &[(&str, &str, &str)] = &[
    (
        "tenants.rs",
        "WHERE k.sha256 = $1",
        "the key determines the tenant",
    ),
    (
        "tenants.rs",
        "SELECT tenant_id FROM api_keys LIMIT 1",
        "used only while there is no key",
    ),
    (
        "files.rs",
        "UPDATE unreferenced_files SET deleting_since",
        "a reference of any tenant keeps a file",
    ),
    (
        "keyed_requests.rs",
        "WHERE expires_at <= $1",
        "a loop processes all tenants",
    ),
    (
        "latest.rs",
        "WHERE changes > processed",
        "a loop processes all tenants",
    ),
    (
        "runs/due.rs",
        "ORDER BY 3, 1, 2 LIMIT $2",
        "a loop processes all tenants",
    ),
    (
        "runs/expire.rs",
        "timeout_at <= $1",
        "a loop processes all tenants",
    ),
];

/// Tables without a tenant, with the reason.
const SHARED: &[(&str, &str)] = &[
    (
        "unreferenced_files",
        "equal bytes are one file for all tenants",
    ),
    ("file_leases", "a lease belongs to a request of a server"),
];

#[test]
fn every_table_has_a_tenant_id() {
    for (table, columns) in tables() {
        if is_shared(&table) {
            continue;
        }
        let owner = if table == "tenants" {
            "id "
        } else {
            "tenant_id "
        };
        assert!(
            columns.lines().any(|line| line.trim().starts_with(owner)),
            "{table} has no tenant_id"
        );
    }
}

#[test]
fn every_reference_carries_the_tenant() {
    for (table, columns) in tables() {
        for line in columns.lines().map(str::trim) {
            let Some((_, target)) = line.split_once("REFERENCES ") else {
                continue;
            };
            let good = is_shared(&table)
                || target.starts_with("tenants (id)")
                || target.contains("(tenant_id, ");
            assert!(good, "{table}: {line}");
        }
    }
}

#[test]
fn references_to_devices_and_updates_cascade() {
    for (table, columns) in tables() {
        for line in columns.lines().map(str::trim) {
            let refers = ["REFERENCES devices ", "REFERENCES updates "];
            if refers.iter().any(|refers| line.contains(refers)) {
                assert!(line.contains("ON DELETE CASCADE"), "{table}: {line}");
            }
        }
    }
}

#[test]
fn every_statement_names_the_tenant() {
    let tables = tables().into_iter().map(|(table, _)| table);
    let tables: BTreeSet<_> = tables.filter(|table| !is_shared(table)).collect();
    let mut statements = 0;
    let mut allowed = 0;
    let mut violations = Vec::new();
    for file in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let source = fs::read_to_string(&file).expect("a source file");
        let source = source
            .split("\n#[cfg(test)]\nmod tests {")
            .next()
            .unwrap_or_default();
        for text in literals(source) {
            let mentions = mentions(&text, &tables);
            if mentions == 0 {
                continue;
            }
            statements += 1;
            let is_allowed = ACROSS_TENANTS
                .iter()
                .any(|(name, part, _)| file.ends_with(name) && text.contains(part));
            if is_allowed {
                allowed += 1;
            } else if tenant_conditions(&text) < mentions {
                violations.push(format!("{}: {text}", file.display()));
            }
        }
    }
    assert!(violations.is_empty(), "{}", violations.join("\n\n"));
    assert_eq!(
        allowed,
        ACROSS_TENANTS.len(),
        "an exception matches no statement"
    );
    assert!(statements > 40, "only {statements} statements were found");
}

fn is_shared(table: &str) -> bool {
    SHARED.iter().any(|(shared, _)| *shared == table)
}

/// Counts the references to tables of tenants.
fn mentions(text: &str, tables: &BTreeSet<String>) -> usize {
    let words: Vec<_> = text.split_whitespace().collect();
    let named = words.windows(2).filter(|pair| {
        let verb = matches!(pair[0], "FROM" | "JOIN" | "INTO" | "UPDATE");
        let table = pair[1].trim_matches(|c: char| !c.is_alphanumeric() && c != '_');
        verb && table != "tenants" && tables.contains(table)
    });
    named.count()
}

/// Counts the conditions on `tenant_id`, and its occurrences among the columns of an INSERT.
fn tenant_conditions(text: &str) -> usize {
    let conditions = [
        "tenant_id = ",
        "tenant_id IN ",
        "WHERE (tenant_id, ",
        "AND (tenant_id, ",
    ];
    let conditions: usize = conditions.iter().map(|one| text.matches(one).count()).sum();
    let inserts = text.split("INSERT INTO ").skip(1).filter(|insert| {
        let columns = insert
            .split_once('(')
            .and_then(|(_, rest)| rest.split_once(')'));
        columns.is_some_and(|(columns, _)| columns.contains("tenant_id"))
    });
    conditions + inserts.count()
}

/// The tables of all migrations with their column definitions.
fn tables() -> Vec<(String, String)> {
    let mut tables = Vec::new();
    for (_, _, text) in MIGRATIONS {
        for table in text.split("CREATE TABLE ").skip(1) {
            let (name, rest) = table.split_once(" (").expect("a table has columns");
            let (columns, _) = rest.split_once("\n);").expect("a table comes to its end");
            tables.push((name.to_owned(), columns.to_owned()));
        }
    }
    tables
}

/// All source files except tests.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry of it").path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() {
            if name != "tests" {
                files.extend(sources(&path));
            }
        } else if !["tests.rs", "testing.rs", "tenant_isolation.rs"].contains(&name.as_str()) {
            files.push(path);
        }
    }
    files
}

/// The string literals of a source, without escaped line breaks.
fn literals(source: &str) -> Vec<String> {
    let mut literals = Vec::new();
    let mut rest = source;
    while let Some(at) = rest.find(['"', '/', '\'']) {
        let from = &rest[at..];
        rest = if from.starts_with("//") {
            from.split_once('\n').map_or("", |(_, rest)| rest)
        } else if let Some(text) = from.strip_prefix('"') {
            let (literal, rest) = literal(text);
            literals.push(literal);
            rest
        } else if from.starts_with("'\"'") || from.starts_with("'/'") {
            &from[3..]
        } else {
            &from[1..]
        };
    }
    literals
}

fn literal(text: &str) -> (String, &str) {
    let mut literal = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (literal, &text[at + 1..]),
            '\\' => match chars.next() {
                Some((at, '\n')) => {
                    let indent = text[at + 1..].len() - text[at + 1..].trim_start().len();
                    for _ in 0..text[at + 1..][..indent].chars().count() {
                        chars.next();
                    }
                }
                Some((_, escaped)) => literal.push(escaped),
                None => {}
            },
            _ => literal.push(c),
        }
    }
    (literal, "")
}

#[test]
fn the_statement_scanner_works() {
    let source = r#"
        // "FROM devices" in a comment
        let quote = '"';
        sqlx::query("SELECT \"a\" \
                     FROM devices WHERE id = $1");
        sqlx::query("INSERT INTO devices (tenant_id, id) VALUES ($1, $2)");
    "#;
    let tables = BTreeSet::from(["devices".to_owned(), "tenants".to_owned()]);
    let texts = literals(source);
    assert_eq!(texts[0], "SELECT \"a\" FROM devices WHERE id = $1");
    assert_eq!(
        (mentions(&texts[0], &tables), tenant_conditions(&texts[0])),
        (1, 0)
    );
    assert_eq!(
        (mentions(&texts[1], &tables), tenant_conditions(&texts[1])),
        (1, 1)
    );
    assert_eq!(mentions("SELECT id FROM tenants", &tables), 0);
}
