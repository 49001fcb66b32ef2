use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::{Context as _, ensure};
use sqlx::{Executor as _, any::AnyPoolOptions};
use tidegate_core::{
    id::Digest,
    update::{CompatibilityBasis, UpdatePolicies},
};

use super::*;
use crate::{rows::RowExt as _, test_database, testing::on_both, updates::compatibility};

on_both! {
    async fn a_database_that_is_up_to_date_stays_as_it_is(store) {
        run(store.database.dialect(), store.database.writers()).await?;
        run(store.database.dialect(), store.database.writers()).await?;
    }

    async fn a_database_of_a_newer_server_is_left_alone(store) {
        let (last, ..) = MIGRATIONS.last().context("a migration")?;
        let newer = format!("UPDATE _sqlx_migrations SET version = 999 WHERE version = {last}");
        sqlx::query(AssertSqlSafe(newer)).execute(store.database.writers()).await?;
        let refused = run(store.database.dialect(), store.database.writers()).await;
        let Err(StoreError::Internal { source, .. }) = refused else {
            panic!("{refused:?}")
        };
        assert!(source.to_string().contains("newer server"), "{source}");
    }
}

#[test]
fn every_placeholder_is_defined() {
    for dialect in [Dialect::Sqlite, Dialect::Postgres] {
        for (_, name, text) in MIGRATIONS {
            assert!(!dialect.migration(text).contains("{{"), "{name}");
        }
    }
}

#[test]
fn every_migration_file_is_listed_under_its_number() {
    let files: Vec<_> = migration_files().into_keys().collect();
    let run = MIGRATIONS
        .iter()
        .map(|(number, name, _)| format!("{number:04}_{name}.sql"));
    assert_eq!(files, run.collect::<Vec<_>>());
}

/// Servers compare the checksum of each migration that they applied, and refuse to start on another one.
#[test]
fn a_committed_migration_never_changes() {
    const HINT: &str = "restore the file, and put the change into a new one: see \"Change the database\" in CONTRIBUTING.md";

    let sums = fs::read_to_string(folder().join("SHA256SUMS")).expect("migrations/SHA256SUMS");
    let frozen: BTreeMap<String, String> = sums
        .lines()
        .map(|line| {
            let (sum, file) = line.split_once("  ").expect("a digest and a file");
            (file.to_owned(), sum.to_owned())
        })
        .collect();
    let files = migration_files();
    for (file, sum) in &frozen {
        assert_eq!(files.get(file), Some(sum), "{file} has changed: {HINT}");
    }
    for file in files.keys() {
        assert!(
            frozen.contains_key(file),
            "{file} is missing in SHA256SUMS: add its digest"
        );
    }
}

fn folder() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations").into()
}

/// The files in `migrations/` with the sha256 of their bytes, by name.
fn migration_files() -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for file in fs::read_dir(folder()).expect("the folder `migrations`") {
        let path = file.expect("a file").path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name != "SHA256SUMS" {
            let bytes = fs::read(&path).expect("a readable file");
            let digest = Digest::of(&bytes).to_string();
            let sum = digest.trim_start_matches("sha256:").to_owned();
            files.insert(name, sum);
        }
    }
    files
}

/// Runs a test with the URL of an SQLite database without tables.
async fn on_empty_sqlite(test: impl AsyncFn(&str) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("tidegate.db");
    test(&format!("sqlite://{}?mode=rwc", file.display())).await
}

/// Runs a test with the URL of a PostgreSQL database without tables, if there is a server.
async fn on_empty_postgres(test: impl AsyncFn(&str) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let url = test_database::create()
        .await
        .map_err(anyhow::Error::from_boxed)?;
    match url {
        Some(url) => test(&url).await,
        None => Ok(()),
    }
}

#[tokio::test]
async fn every_migration_keeps_the_rows_of_a_filled_database_on_sqlite() -> anyhow::Result<()> {
    on_empty_sqlite(upgrade).await
}

#[tokio::test]
async fn every_migration_keeps_the_rows_of_a_filled_database_on_postgres() -> anyhow::Result<()> {
    on_empty_postgres(upgrade).await
}

/// Columns that a migration rewrites or replaces, and tests of their own check: migration, table, column.
const REWRITTEN: [(&str, &str, &str); 7] = [
    ("plugin_names", "plugins", "name"),
    ("plugin_names", "plugin_revisions", "plugin"),
    ("plugin_names", "journal", "plugin"),
    ("revision_states", "plugin_revisions", "enabled"),
    ("contract", "plugin_revisions", "metrics"),
    ("contract", "plugin_revisions", "attributes"),
    ("contract", "plugin_revisions", "contract"),
];

/// Tables that a migration replaces, and tests of their own check: migration, table.
const REPLACED: [(&str, &str); 1] = [("contract", "campaign_durations")];

/// Tables that get rows from a migration: migration, table.
const GAINED: [(&str, &str); 2] = [
    ("journal_size", "tenant_counters"),
    ("earlier_revisions", "campaign_revisions"),
];

/// Applies the migrations one by one. Before each one, all tables get rows.
async fn upgrade(url: &str) -> anyhow::Result<()> {
    sqlx::any::install_default_drivers();
    let dialect = Dialect::from_url(url)?;
    let pool = AnyPoolOptions::new()
        .max_connections(1)
        .connect(url)
        .await?;
    let mut filled = Schema::new();
    for (index, (_, name, _)) in MIGRATIONS.iter().enumerate() {
        let is_kept = |table: &str, column: &Column| {
            !REWRITTEN.contains(&(name, table, column.name.as_str()))
        };
        filled.retain(|(table, _)| !REPLACED.contains(&(name, table.as_str())));
        let mut before = BTreeMap::new();
        for (table, columns) in &mut filled {
            columns.retain(|column| is_kept(table, column));
            before.insert(table.clone(), rows(&pool, table, columns).await?);
        }
        migrator(dialect, &MIGRATIONS[..=index])
            .run(&pool)
            .await
            .context(*name)?;
        let schema = schema(dialect, &pool).await?;
        for (table, columns) in &filled {
            let kept = schema.iter().find(|(other, _)| other == table);
            let (_, kept) = kept.with_context(|| format!("{name} drops {table}"))?;
            for column in columns {
                ensure!(kept.contains(column), "{name} drops {table}.{column:?}");
            }
            let mut after = rows(&pool, table, columns).await?;
            if GAINED.contains(&(name, table.as_str())) {
                after.retain(|row| before[table].contains(row));
            }
            ensure!(before[table] == after, "{name} changes {table}");
        }
        check_foreign_keys(dialect, &pool).await.context(*name)?;
        let known: Vec<_> = filled.into_iter().map(|(table, _)| table).collect();
        let new = schema.iter().filter(|(table, _)| !known.contains(table));
        for (table, columns) in new {
            fill(&pool, table, columns)
                .await
                .with_context(|| format!("fill {table}"))?;
        }
        filled = schema;
    }
    ensure!(
        filled.len() > 30,
        "only {} tables were filled",
        filled.len()
    );
    Ok(())
}

#[tokio::test]
async fn stored_names_of_plugins_get_a_vendor_on_sqlite() -> anyhow::Result<()> {
    on_empty_sqlite(rename_plugins).await
}

#[tokio::test]
async fn stored_names_of_plugins_get_a_vendor_on_postgres() -> anyhow::Result<()> {
    on_empty_postgres(rename_plugins).await
}

/// Fills all tables before the migration `plugin_names`: row 1 has a built-in plugin, row 2 has an uploaded one.
async fn rename_plugins(url: &str) -> anyhow::Result<()> {
    let (pool, upgrade) = filled_before(url, "plugin_names").await?;
    for (id, name) in [(1, "canary"), (2, "rings")] {
        let json = format!(r#"{{"plugin":"{name}","config":"{{\\"plugin\\":\\"{name}\\"}}"}}"#);
        let policies = format!("[{json},{json}]");
        let chosen = format!(r#"{{"policies":{{"chosen":{policies}}},"accepted":null}}"#);
        for sql in [
            format!(
                "INSERT INTO plugins (tenant_id, name, kind) VALUES ({id}, '{name}', 'strategy')"
            ),
            format!("UPDATE plugin_revisions SET plugin = '{name}' WHERE id = {id}"),
            format!("DELETE FROM plugins WHERE name = '{id}'"),
            format!(
                "UPDATE campaigns SET strategy = '{json}', policies = '{policies}' WHERE id = {id}"
            ),
            format!("UPDATE updates SET compatibility = '{chosen}' WHERE id = {id}"),
            format!("UPDATE journal SET plugin = '{name}' WHERE campaign_id = {id}"),
        ] {
            sqlx::query(AssertSqlSafe(sql)).execute(&pool).await?;
        }
    }
    upgrade.run(&pool).await?;
    let texts = async |sql: &'static str| -> anyhow::Result<Vec<String>> {
        let rows = pool.fetch_all(sql).await?;
        Ok(rows
            .iter()
            .map(|row| row.take(0))
            .collect::<Result<_, _>>()?)
    };
    let names = ["tidegate/canary", "local/rings"];
    let name = "SELECT name FROM plugins ORDER BY tenant_id";
    assert_eq!(texts(name).await?, names);
    let name = "SELECT plugin FROM plugin_revisions ORDER BY id";
    assert_eq!(texts(name).await?, names);
    // A bare name is that of a built-in plugin.
    let name = "SELECT plugin FROM journal ORDER BY campaign_id";
    assert_eq!(texts(name).await?, ["canary", "local/rings"]);
    let [strategies, policies, chosen] = [
        texts("SELECT strategy FROM campaigns ORDER BY id").await?,
        texts("SELECT policies FROM campaigns ORDER BY id").await?,
        texts("SELECT compatibility FROM updates ORDER BY id").await?,
    ];
    for (row, (name, bare)) in names.into_iter().zip(["canary", "rings"]).enumerate() {
        let json = format!(r#"{{"plugin":"{name}","config":"{{\\"plugin\\":\\"{bare}\\"}}"}}"#);
        let list = format!("[{json},{json}]");
        assert_eq!(strategies[row], json);
        assert_eq!(policies[row], list);
        assert_eq!(
            chosen[row],
            format!(r#"{{"policies":{{"chosen":{list}}},"accepted":null}}"#)
        );
    }
    Ok(())
}

#[tokio::test]
async fn revisions_keep_their_states_and_campaigns_pin_them_on_sqlite() -> anyhow::Result<()> {
    on_empty_sqlite(pin_revisions).await
}

#[tokio::test]
async fn revisions_keep_their_states_and_campaigns_pin_them_on_postgres() -> anyhow::Result<()> {
    on_empty_postgres(pin_revisions).await
}

/// Fills all tables before the migration `revision_states`. The digests of the revisions are 1 and 2.
async fn pin_revisions(url: &str) -> anyhow::Result<()> {
    let (pool, upgrade) = filled_before(url, "revision_states").await?;
    for sql in [
        "UPDATE plugin_revisions SET enabled = 1, tenant_id = 1, plugin = '1'",
        "UPDATE plugin_revisions SET enabled = 0 WHERE id = 2",
        r#"UPDATE campaigns SET strategy = '{"revision":"1"}', policies = '[{"revision":"2"}]'"#,
    ] {
        pool.execute(sql).await?;
    }
    upgrade.run(&pool).await?;
    let texts = async |sql: &'static str| -> anyhow::Result<Vec<String>> {
        let rows = pool.fetch_all(sql).await?;
        Ok(rows
            .iter()
            .map(|row| row.take(0))
            .collect::<Result<_, _>>()?)
    };
    let states = "SELECT state FROM plugin_revisions ORDER BY id";
    assert_eq!(texts(states).await?, ["enabled", "disabled"]);
    // The other campaign is of another tenant, which has no revision.
    let pinned = "SELECT digest FROM campaign_revisions WHERE campaign_id = 1 ORDER BY digest";
    assert_eq!(texts(pinned).await?, ["1", "2"]);
    let all = "SELECT digest FROM campaign_revisions";
    assert_eq!(texts(all).await?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn campaigns_pin_what_their_journals_name_on_sqlite() -> anyhow::Result<()> {
    on_empty_sqlite(pin_earlier_revisions).await
}

#[tokio::test]
async fn campaigns_pin_what_their_journals_name_on_postgres() -> anyhow::Result<()> {
    on_empty_postgres(pin_earlier_revisions).await
}

/// Fills all tables before the migration `earlier_revisions`. The campaign 1 uses the revision 1, and its journal names 2,
/// and 3, which was deleted.
async fn pin_earlier_revisions(url: &str) -> anyhow::Result<()> {
    let (pool, upgrade) = filled_before(url, "earlier_revisions").await?;
    for sql in [
        "DELETE FROM campaign_revisions WHERE campaign_id = 2",
        "UPDATE plugin_revisions SET tenant_id = 1, plugin = '1'",
        "UPDATE journal SET tenant_id = 1, campaign_id = 1",
        "UPDATE journal SET revision = '3' WHERE seq = 1",
        "UPDATE journal SET revision = '2' WHERE seq = 2",
    ] {
        pool.execute(sql).await.context(sql)?;
    }
    upgrade.run(&pool).await?;
    let pinned =
        "SELECT digest || ' ' || CAST(is_current AS TEXT) FROM campaign_revisions ORDER BY digest";
    let rows = pool.fetch_all(pinned).await?;
    let pinned: Result<Vec<String>, _> = rows.iter().map(|row| row.take(0)).collect();
    assert_eq!(pinned?, ["1 1", "2 0"]);
    Ok(())
}

#[tokio::test]
async fn durations_and_plugins_are_those_of_the_first_draft_on_sqlite() -> anyhow::Result<()> {
    on_empty_sqlite(draft_again).await
}

#[tokio::test]
async fn durations_and_plugins_are_those_of_the_first_draft_on_postgres() -> anyhow::Result<()> {
    on_empty_postgres(draft_again).await
}

/// Fills all tables before the migration `contract`.
async fn draft_again(url: &str) -> anyhow::Result<()> {
    let (pool, upgrade) = filled_before(url, "contract").await?;
    let stored = "UPDATE plugin_revisions SET contract = '1.0.0' WHERE id = 1";
    pool.execute(stored).await?;
    let rows = async |sql: &'static str| -> anyhow::Result<Vec<String>> {
        let rows = pool.fetch_all(sql).await?;
        Ok(rows
            .iter()
            .map(|row| row.take(0))
            .collect::<Result<_, _>>()?)
    };
    let before = rows(
        "SELECT CAST(campaign_id AS TEXT) || ' ' || CAST(bucket AS TEXT) || ' ' || CAST(updates AS TEXT) \
         FROM campaign_durations ORDER BY 1",
    )
    .await?;
    assert_eq!(before.len(), 2);
    upgrade.run(&pool).await?;
    let after = rows(
        "SELECT CAST(campaign_id AS TEXT) || ' ' || CAST(bucket AS TEXT) || ' ' || CAST(updates AS TEXT) \
         FROM wave_durations WHERE wave = -1 ORDER BY 1",
    )
    .await?;
    assert_eq!(after, before);
    let contracts = rows("SELECT contract FROM plugin_revisions ORDER BY id").await?;
    assert_eq!(contracts[0], "1.0.0-draft.1");
    assert_ne!(contracts[1], "1.0.0-draft.1", "it is of another version");
    Ok(())
}

#[tokio::test]
async fn the_bytes_of_journals_are_counted_on_sqlite() -> anyhow::Result<()> {
    on_empty_sqlite(count_journals).await
}

#[tokio::test]
async fn the_bytes_of_journals_are_counted_on_postgres() -> anyhow::Result<()> {
    on_empty_postgres(count_journals).await
}

/// Fills all tables before the migration `journal_size`. Each campaign has an entry with its number.
async fn count_journals(url: &str) -> anyhow::Result<()> {
    let (pool, upgrade) = filled_before(url, "journal_size").await?;
    for sql in [
        "UPDATE journal SET explain = '[\"heiß\"]', log = NULL, at = 7 WHERE campaign_id = 1",
        "DELETE FROM journal WHERE campaign_id = 2",
    ] {
        pool.execute(sql).await?;
    }
    upgrade.run(&pool).await?;
    let numbers = async |sql: &'static str| -> anyhow::Result<Vec<Option<i64>>> {
        let rows = pool.fetch_all(sql).await?;
        Ok(rows
            .iter()
            .map(|row| row.take(0))
            .collect::<Result<_, _>>()?)
    };
    // A byte of input and of output, and `explain`.
    let bytes = 256 + 2 + r#"["heiß"]"#.len() as i64;
    let counted = "SELECT journal_bytes FROM campaign_runs ORDER BY campaign_id";
    assert_eq!(numbers(counted).await?, [Some(bytes), Some(0)]);
    let since = "SELECT journal_since FROM campaign_runs ORDER BY campaign_id";
    assert_eq!(numbers(since).await?, [Some(7), None]);
    let of_tenants =
        "SELECT value FROM tenant_counters WHERE kind = 'journal_bytes' ORDER BY tenant_id";
    assert_eq!(numbers(of_tenants).await?, [Some(bytes), Some(0)]);
    Ok(())
}

#[tokio::test]
async fn open_updates_of_waves_are_checked_once_after_the_upgrade_on_sqlite() -> anyhow::Result<()>
{
    on_empty_sqlite(record_unchecked).await
}

#[tokio::test]
async fn open_updates_of_waves_are_checked_once_after_the_upgrade_on_postgres() -> anyhow::Result<()>
{
    on_empty_postgres(record_unchecked).await
}

#[tokio::test]
async fn postgres_writes_less_when_a_campaign_starts() -> anyhow::Result<()> {
    on_empty_postgres(async |url| {
        let (pool, upgrade) = filled_before(url, "campaign_start").await?;
        upgrade.run(&pool).await?;
        let text = async |sql: &'static str| -> anyhow::Result<String> {
            Ok(pool.fetch_one(sql).await?.take(0)?)
        };
        let space = "SELECT array_to_string(reloptions, ',') FROM pg_class WHERE relname = 'devices'";
        assert_eq!(text(space).await?, "fillfactor=85");
        let uncompressed = "SELECT string_agg(attname, ',' ORDER BY attname) FROM pg_attribute \
             WHERE attstorage = 'e' AND attrelid IN (CAST('wave_members' AS REGCLASS), CAST('campaign_devices' AS REGCLASS))";
        assert_eq!(text(uncompressed).await?, "members,slots");
        Ok(())
    })
    .await
}

/// Fills all tables before the migration of this name, which is returned with the ones before it.
async fn filled_before(url: &str, name: &str) -> anyhow::Result<(AnyPool, Migrator)> {
    sqlx::any::install_default_drivers();
    let dialect = Dialect::from_url(url)?;
    let pool = AnyPoolOptions::new()
        .max_connections(1)
        .connect(url)
        .await?;
    let upgrade = MIGRATIONS
        .iter()
        .position(|(_, other, _)| *other == name)
        .context("the migration")?;
    migrator(dialect, &MIGRATIONS[..upgrade]).run(&pool).await?;
    for (table, columns) in schema(dialect, &pool).await? {
        fill(&pool, &table, &columns).await?;
    }
    Ok((pool, migrator(dialect, &MIGRATIONS[..=upgrade])))
}

/// Fills all tables before the migration `unchecked_updates`, with an update that has no record of its compatibility.
async fn record_unchecked(url: &str) -> anyhow::Result<()> {
    let (pool, upgrade) = filled_before(url, "unchecked_updates").await?;
    let unrecorded = "UPDATE updates SET compatibility = NULL, completed_at = NULL";
    sqlx::query(unrecorded).execute(&pool).await?;
    let forward = "UPDATE updates SET purpose = 'forward' WHERE id = 1";
    sqlx::query(forward).execute(&pool).await?;
    upgrade.run(&pool).await?;
    let mut bases = Vec::new();
    for row in pool
        .fetch_all("SELECT compatibility FROM updates ORDER BY id")
        .await?
    {
        bases.push(compatibility::from_row(&row)?);
    }
    let unchecked = CompatibilityBasis::unchecked(UpdatePolicies::Campaign);
    // The other one may have been forced.
    assert_eq!(bases, [Some(unchecked), None]);
    Ok(())
}

/// Tables in the order of their creation, each with its columns.
type Schema = Vec<(String, Vec<Column>)>;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Column {
    name: String,
    kind: String,
}

async fn schema(dialect: Dialect, pool: &AnyPool) -> anyhow::Result<Schema> {
    let sql = match dialect {
        Dialect::Sqlite => {
            "SELECT t.name AS owner, c.name AS name, c.type AS kind \
             FROM sqlite_schema t JOIN pragma_table_info(t.name) c \
             WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' ORDER BY t.rowid, c.cid"
        }
        Dialect::Postgres => {
            "SELECT CAST(t.relname AS TEXT) AS owner, CAST(c.attname AS TEXT) AS name, \
             format_type(c.atttypid, NULL) AS kind \
             FROM pg_class t JOIN pg_attribute c ON c.attrelid = t.oid \
             WHERE t.relkind = 'r' AND t.relnamespace = CAST('public' AS regnamespace) \
             AND c.attnum > 0 AND NOT c.attisdropped ORDER BY t.oid, c.attnum"
        }
    };
    let mut schema = Schema::new();
    for row in pool.fetch_all(sql).await? {
        let table: String = row.take("owner")?;
        let column = Column {
            name: row.take("name")?,
            kind: row.take::<String>("kind")?.to_lowercase(),
        };
        match schema.last_mut() {
            Some((last, columns)) if *last == table => columns.push(column),
            _ => schema.push((table, vec![column])),
        }
    }
    schema.retain(|(table, _)| table != "_sqlx_migrations");
    Ok(schema)
}

/// Inserts two rows. All values of row 1 are 1, all values of row 2 are 2, and so every reference finds its row.
async fn fill(pool: &AnyPool, table: &str, columns: &[Column]) -> anyhow::Result<()> {
    let names: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
    let names = names.join(", ");
    for number in 1..=2 {
        let values: Result<Vec<_>, _> = columns
            .iter()
            .map(|column| match column.kind.as_str() {
                "bigint" | "integer" => Ok(number.to_string()),
                "text" => Ok(format!("'{number}'")),
                "blob" => Ok(format!("x'0{number}'")),
                "bytea" => Ok(format!("'\\x0{number}'")),
                kind => Err(anyhow::anyhow!("{} has the type {kind}", column.name)),
            })
            .collect();
        let values = values?.join(", ");
        let sql = format!("INSERT INTO {table} ({names}) VALUES ({values})");
        sqlx::query(AssertSqlSafe(sql)).execute(pool).await?;
    }
    Ok(())
}

/// These columns of all rows, as text.
async fn rows(pool: &AnyPool, table: &str, columns: &[Column]) -> anyhow::Result<Vec<Vec<String>>> {
    let texts = columns
        .iter()
        .map(|Column { name, .. }| format!("COALESCE(CAST({name} AS TEXT), 'NULL') AS {name}"));
    let texts = texts.collect::<Vec<_>>().join(", ");
    let sql = format!("SELECT {texts} FROM {table} ORDER BY 1, 2");
    let mut rows = Vec::new();
    for row in sqlx::query(AssertSqlSafe(sql)).fetch_all(pool).await? {
        let row: Result<_, _> = (0..columns.len()).map(|index| row.take(index)).collect();
        rows.push(row?);
    }
    Ok(rows)
}

/// PostgreSQL checks foreign keys itself, unless a migration adds one that is `NOT VALID`.
async fn check_foreign_keys(dialect: Dialect, pool: &AnyPool) -> anyhow::Result<()> {
    let sql = match dialect {
        Dialect::Sqlite => "SELECT \"table\" AS violation FROM pragma_foreign_key_check",
        Dialect::Postgres => {
            "SELECT CAST(conname AS TEXT) AS violation FROM pg_constraint WHERE NOT convalidated"
        }
    };
    let violations = pool.fetch_all(sql).await?;
    ensure!(
        violations.is_empty(),
        "{} violated foreign keys",
        violations.len()
    );
    Ok(())
}
