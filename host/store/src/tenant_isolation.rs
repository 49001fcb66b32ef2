//! Checks that every statement is restricted to a tenant. syn reads the texts of all statements from the sources of this
//! crate, sqlparser the statements and the migrations.

mod source;
mod statement;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use sqlparser::{
    ast::{
        ColumnOption, CreateTable, ForeignKeyConstraint, ReferentialAction, Statement,
        TableConstraint,
    },
    dialect::PostgreSqlDialect,
    parser::Parser,
};

use crate::{dialect::Dialect, migrations::MIGRATIONS};
use source::Piece;
use statement::StatementReading;

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
        "file_leases.rs",
        "UPDATE unreferenced_files SET deleting_since",
        "a reference of any tenant keeps a file",
    ),
    (
        "keyed_requests.rs",
        "WHERE expires_at <= $1",
        "a loop processes all tenants",
    ),
    (
        "stats.rs",
        "counter_key < $1",
        "a loop processes all tenants",
    ),
    (
        "runs/old_entries.rs",
        "journal_since < $1",
        "a loop processes all tenants",
    ),
    (
        "latest.rs",
        "WHERE changes > processed",
        "a loop processes all tenants",
    ),
    (
        "changed_devices.rs",
        "SELECT r.tenant_id, r.campaign_id, r.join_scan_at",
        "a loop processes all tenants",
    ),
    (
        "changed_devices.rs",
        "SELECT c.tenant_id, c.device_key, c.changes",
        "a loop processes all tenants",
    ),
    (
        "runs/due.rs",
        "ORDER BY turn, due_at, tenant_id LIMIT $2",
        "a loop processes all tenants",
    ),
    (
        "reporting_clock.rs",
        "SELECT MAX(last_seen) FROM devices",
        "the clock is that of all tenants",
    ),
    (
        "reporting_clock.rs",
        "ORDER BY d.polling_seconds DESC LIMIT 1",
        "the clock is that of all tenants",
    ),
    (
        "updates/approvals.rs",
        "applied_at IS NULL",
        "a loop processes all tenants",
    ),
    (
        "runs/check.rs",
        "timeout_at <= $1",
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
    ("reporting_clock", "the clock is that of all tenants"),
];

#[test]
fn every_table_has_a_tenant_id() {
    for table in tables() {
        let name = table.name.to_string();
        let owner = if name == "tenants" { "id" } else { "tenant_id" };
        let mut columns = table.columns.iter();
        assert!(
            is_shared(&name) || columns.any(|column| column.name.value == owner),
            "{name} has no tenant_id"
        );
    }
}

#[test]
fn every_reference_carries_the_tenant() {
    for table in tables() {
        let name = table.name.to_string();
        for reference in references(&table) {
            let is_to = |expected: &str| {
                let columns = reference.referred_columns.iter();
                columns.into_iter().any(|column| column.value == expected)
            };
            let good = is_shared(&name)
                || reference.foreign_table.to_string() == "tenants" && is_to("id")
                || is_to("tenant_id");
            assert!(good, "{name}: {reference}");
        }
    }
}

#[test]
fn references_to_devices_and_updates_cascade() {
    let mut found = 0;
    for table in tables() {
        for reference in references(&table) {
            if ["devices", "updates"].contains(&&*reference.foreign_table.to_string()) {
                found += 1;
                assert_eq!(
                    reference.on_delete,
                    Some(ReferentialAction::Cascade),
                    "{}: {reference}",
                    table.name
                );
            }
        }
    }
    assert!(found > 5, "only {found} references were found");
}

#[test]
fn every_statement_is_restricted_to_a_tenant() {
    let tables = tables().into_iter().map(|table| table.name.to_string());
    let tables: BTreeSet<_> = tables
        .filter(|table| table != "tenants" && !is_shared(table))
        .collect();
    let mut statements = 0;
    let mut unused: BTreeSet<_> = ACROSS_TENANTS.iter().collect();
    let mut violations = Vec::new();
    for file in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let source = fs::read_to_string(&file).expect("a source file");
        for text in source::texts(&source).expect("valid Rust") {
            let problem = match statement::read(&text.pieces, &tables) {
                StatementReading::Other => continue,
                StatementReading::Sql { mentions: 0, .. } => "no table is read".to_owned(),
                StatementReading::Sql { unbound, .. } => unbound.join(", "),
                StatementReading::Invalid => "no valid SQL".to_owned(),
            };
            statements += 1;
            if problem.is_empty() {
                continue;
            }
            let pieces = text.pieces.iter().map(|piece| match piece {
                Piece::Text(text) => text,
                Piece::Hole => "{}",
            });
            let sql: String = pieces.collect();
            let exception = ACROSS_TENANTS
                .iter()
                .find(|(name, part, _)| file.ends_with(name) && sql.contains(part));
            if let Some(exception) = exception {
                unused.remove(exception);
            } else {
                violations.push(format!(
                    "{}:{}: {problem}: {sql}",
                    file.display(),
                    text.line
                ));
            }
        }
    }
    assert!(violations.is_empty(), "{}", violations.join("\n\n"));
    assert!(
        unused.is_empty(),
        "these are restricted, or gone: {unused:?}"
    );
    assert!(statements > 40, "only {statements} statements were found");
}

fn is_shared(table: &str) -> bool {
    SHARED.iter().any(|(shared, _)| *shared == table)
}

/// The tables of all migrations.
fn tables() -> Vec<CreateTable> {
    let mut tables = Vec::new();
    for (_, name, text) in MIGRATIONS {
        // What only PostgreSQL executes changes how it stores tables, by statements that sqlparser does not know.
        let text = Dialect::Postgres.migration(&text.replace("{{postgres}}", "-- "));
        let statements = Parser::parse_sql(&PostgreSqlDialect {}, &text);
        for statement in statements.unwrap_or_else(|error| panic!("{name}: {error}")) {
            if let Statement::CreateTable(table) = statement {
                tables.push(table);
            }
        }
    }
    tables
}

/// The foreign keys of a table.
fn references(table: &CreateTable) -> Vec<&ForeignKeyConstraint> {
    let of_columns = table.columns.iter().flat_map(|column| &column.options);
    let of_columns = of_columns.filter_map(|option| match &option.option {
        ColumnOption::ForeignKey(reference) => Some(reference),
        _ => None,
    });
    let of_table = table
        .constraints
        .iter()
        .filter_map(|constraint| match constraint {
            TableConstraint::ForeignKey(reference) => Some(reference),
            _ => None,
        });
    of_columns.chain(of_table).collect()
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
            if name != "tests" && name != "tenant_isolation" {
                files.extend(sources(&path));
            }
        } else if !["tests.rs", "testing.rs", "tenant_isolation.rs"].contains(&name.as_str()) {
            files.push(path);
        }
    }
    files
}
