//! Which tables of a statement are not restricted to a tenant.

use std::{collections::BTreeSet, ops::ControlFlow};

use sqlparser::{
    ast::{
        BinaryOperator, Expr, FromTable, JoinConstraint, JoinOperator, ObjectName, Select,
        Statement, TableFactor, TableObject, TableWithJoins, UnaryOperator, UpdateTableFromKind,
        Visit as _, Visitor,
    },
    dialect::PostgreSqlDialect,
    parser::Parser,
    tokenizer::{Token, Tokenizer},
};

use super::source::Piece;

/// The name that stands for what is known at run time only.
const HOLE: &str = "hole";

/// The result of reading a text as SQL.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum StatementReading {
    /// It names no table of tenants.
    Other,
    /// It names them so often, and these are not restricted to a tenant.
    Sql {
        mentions: usize,
        unbound: Vec<String>,
    },
    Invalid,
}

/// What a part of a statement continues; and whether this is a list of tables.
const CONTINUED: [(&str, bool); 4] = [
    ("SELECT ", false),
    ("SELECT * FROM ", true),
    ("SELECT * FROM hole ", false),
    ("SELECT * FROM hole WHERE hole ", false),
];

/// Reads a text as a statement or as a part of one: a condition, columns or a list of tables.
pub(super) fn read(pieces: &[Piece], tables: &BTreeSet<String>) -> StatementReading {
    let text = filled(pieces, 0);
    if !names_table(&text, tables) {
        return StatementReading::Other;
    }
    let first = text.split_whitespace().next().unwrap_or_default();
    let readings: &[_] = if ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"].contains(&first) {
        &[("", false)]
    } else {
        &CONTINUED
    };
    let holes = pieces.iter().filter(|piece| **piece == Piece::Hole).count();
    for empty in 0..1_usize << holes.min(8) {
        let text = filled(pieces, empty);
        for (before, is_part_of_from) in readings {
            let parsed = Parser::parse_sql(&PostgreSqlDialect {}, &format!("{before}{text}"));
            let Ok(statements) = parsed else {
                continue;
            };
            let mut check = Check {
                tables,
                is_part_of_from: *is_part_of_from,
                mentions: 0,
                unbound: Vec::new(),
            };
            let _ = statements.visit(&mut check);
            return StatementReading::Sql {
                mentions: check.mentions,
                unbound: check.unbound,
            };
        }
    }
    StatementReading::Invalid
}

/// The text with a name for each hole, or nothing if its bit in `empty` is set. A hole that follows a word is empty: it
/// continues a clause. One that follows `SET` is an assignment.
fn filled(pieces: &[Piece], empty: usize) -> String {
    let mut text = String::new();
    let mut empty = empty;
    for piece in pieces {
        match piece {
            Piece::Text(part) => text.push_str(part),
            Piece::Hole => {
                let follows_word = text.ends_with(|c: char| c.is_alphanumeric() || c == ')');
                if text.ends_with("SET ") {
                    text.push_str("hole = hole");
                } else if empty.is_multiple_of(2) && !follows_word {
                    text.push_str(HOLE);
                }
                empty /= 2;
            }
        }
    }
    text
}

/// Whether a text has a verb of SQL and the name of a table, or a verb that changes an unknown table.
fn names_table(text: &str, tables: &BTreeSet<String>) -> bool {
    let Ok(tokens) = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize() else {
        // Prose with an apostrophe, unless it has a verb and a table.
        let mut words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
        return words.clone().any(|word| tables.contains(word)) && words.any(is_verb);
    };
    let words: Vec<_> = tokens
        .iter()
        .filter_map(|token| match token {
            Token::Word(word) => Some(word.value.as_str()),
            _ => None,
        })
        .collect();
    let changes_hole = words.windows(2).any(|pair| {
        matches!(pair[0], "UPDATE" | "INTO") && pair[1] == HOLE
            || pair[0] == "DELETE" && words.contains(&HOLE) && pair[1] == "FROM"
    });
    changes_hole
        || words.iter().any(|word| is_verb(word)) && words.iter().any(|word| tables.contains(*word))
}

fn is_verb(word: &str) -> bool {
    [
        "SELECT", "INSERT", "UPDATE", "DELETE", "FROM", "JOIN", "INTO",
    ]
    .contains(&word)
}

struct Check<'a> {
    tables: &'a BTreeSet<String>,
    /// The text starts after `FROM`: the statement that it is a part of restricts its first table.
    is_part_of_from: bool,
    mentions: usize,
    unbound: Vec<String>,
}

impl Visitor for Check<'_> {
    type Break = ();

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        let mut scope = Scope::new(self.tables);
        scope.add_all(&select.from);
        scope.add_condition(select.selection.as_ref());
        if std::mem::take(&mut self.is_part_of_from)
            && let Some(first) = scope.relations.first_mut()
        {
            first.is_bound = true;
        }
        self.finish(scope);
        ControlFlow::Continue(())
    }

    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<()> {
        let mut scope = Scope::new(self.tables);
        match statement {
            Statement::Update(update) => {
                scope.add_target(&update.table);
                if let Some(
                    UpdateTableFromKind::AfterSet(from) | UpdateTableFromKind::BeforeSet(from),
                ) = &update.from
                {
                    scope.add_all(from);
                }
                scope.add_condition(update.selection.as_ref());
            }
            Statement::Delete(delete) => {
                let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) =
                    &delete.from;
                for table in from {
                    scope.add_target(table);
                }
                scope.add_all(delete.using.as_deref().unwrap_or_default());
                scope.add_condition(delete.selection.as_ref());
            }
            Statement::Insert(insert) => {
                let TableObject::TableName(name) = &insert.table else {
                    return ControlFlow::Continue(());
                };
                if is_of_tenants(&last_name(name), self.tables, true) {
                    scope.relations.push(Relation {
                        alias: last_name(name),
                        tenant_column: Some("tenant_id"),
                        is_of_tenants: true,
                        is_bound: insert
                            .columns
                            .iter()
                            .any(|column| last_name(column) == "tenant_id"),
                    });
                }
            }
            _ => {}
        }
        self.finish(scope);
        ControlFlow::Continue(())
    }
}

impl Check<'_> {
    fn finish(&mut self, mut scope: Scope<'_>) {
        scope.bind();
        let relations = scope.relations.into_iter();
        for relation in relations.filter(|relation| relation.is_of_tenants) {
            self.mentions += 1;
            if !relation.is_bound {
                self.unbound.push(relation.alias);
            }
        }
    }
}

struct Relation {
    alias: String,
    /// `tenant_id`, or `id` of the table `tenants`, which itself may be read without a restriction.
    tenant_column: Option<&'static str>,
    is_of_tenants: bool,
    is_bound: bool,
}

/// The tables of one SELECT, UPDATE or DELETE, and what restricts them.
struct Scope<'a> {
    tables: &'a BTreeSet<String>,
    relations: Vec<Relation>,
    /// Conditions that all rows fulfil. Those of an outer join restrict only the table that it joins.
    conditions: Vec<(&'a Expr, Option<String>)>,
}

impl<'a> Scope<'a> {
    fn new(tables: &'a BTreeSet<String>) -> Self {
        Self {
            tables,
            relations: Vec::new(),
            conditions: Vec::new(),
        }
    }

    /// Adds a table that is changed. An unknown one counts as a table of tenants.
    fn add_target(&mut self, table: &'a TableWithJoins) {
        self.add_factor(&table.relation, true);
        self.add_joins(table);
    }

    fn add_all(&mut self, from: &'a [TableWithJoins]) {
        for table in from {
            self.add_factor(&table.relation, false);
            self.add_joins(table);
        }
    }

    fn add_joins(&mut self, table: &'a TableWithJoins) {
        for join in &table.joins {
            let known = self.relations.len();
            self.add_factor(&join.relation, false);
            let joined = self.relations.get(known).map(|joined| joined.alias.clone());
            match &join.join_operator {
                JoinOperator::Join(JoinConstraint::On(on))
                | JoinOperator::Inner(JoinConstraint::On(on))
                | JoinOperator::CrossJoin(JoinConstraint::On(on)) => {
                    self.conditions.push((on, None));
                }
                JoinOperator::Left(JoinConstraint::On(on))
                | JoinOperator::LeftOuter(JoinConstraint::On(on)) => {
                    self.conditions.push((on, joined));
                }
                _ => {}
            }
        }
    }

    fn add_condition(&mut self, condition: Option<&'a Expr>) {
        self.conditions
            .extend(condition.map(|condition| (condition, None)));
    }

    fn add_factor(&mut self, factor: &'a TableFactor, is_target: bool) {
        match factor {
            TableFactor::Table {
                name, alias, args, ..
            } => {
                let name = last_name(name);
                let is_of_tenants = args.is_none() && is_of_tenants(&name, self.tables, is_target);
                self.relations.push(Relation {
                    tenant_column: match &*name {
                        "tenants" => Some("id"),
                        _ => is_of_tenants.then_some("tenant_id"),
                    },
                    is_of_tenants,
                    alias: alias
                        .as_ref()
                        .map_or(name, |alias| alias.name.value.clone()),
                    is_bound: false,
                });
            }
            TableFactor::NestedJoin {
                table_with_joins, ..
            } => self.add_all(std::slice::from_ref(table_with_joins)),
            // A subquery is a scope of its own.
            _ => {}
        }
    }

    /// Marks the tables that are restricted to a tenant, directly or by a table that is.
    fn bind(&mut self) {
        let conditions = std::mem::take(&mut self.conditions);
        let mut equal = Vec::new();
        for (condition, only) in &conditions {
            equalities(condition, &mut |left, right| {
                for (one, other) in [(Some(left), right), (right, Some(left))] {
                    let Some(at) = one.and_then(|one| self.owner(one)) else {
                        continue;
                    };
                    if only
                        .as_ref()
                        .is_none_or(|only| *only == self.relations[at].alias)
                    {
                        equal.push((at, other.and_then(|other| self.owner(other))));
                    }
                }
            });
        }
        let mut is_changed = true;
        while std::mem::take(&mut is_changed) {
            for (one, other) in &equal {
                let is_bound = other.is_none_or(|other| self.relations[other].is_bound);
                if is_bound && !self.relations[*one].is_bound {
                    self.relations[*one].is_bound = true;
                    is_changed = true;
                }
            }
        }
    }

    /// The table in this scope whose tenant an expression is.
    fn owner(&self, expression: &Expr) -> Option<usize> {
        let with_column = |name: &str| {
            let relations = self.relations.iter().enumerate();
            let column = name.to_owned();
            relations.filter(move |(_, relation)| relation.tenant_column == Some(&*column))
        };
        match expression {
            Expr::Nested(inner)
            | Expr::UnaryOp {
                op: UnaryOperator::Plus,
                expr: inner,
            } => self.owner(inner),
            Expr::Identifier(name) => {
                let mut candidates = with_column(&name.value);
                let (at, _) = candidates.next()?;
                candidates.next().is_none().then_some(at)
            }
            Expr::CompoundIdentifier(path) => {
                let [.., table, name] = &path[..] else {
                    return None;
                };
                let mut candidates = with_column(&name.value);
                let found = candidates.find(|(_, relation)| relation.alias == table.value);
                found.map(|(at, _)| at)
            }
            _ => None,
        }
    }
}

/// Calls `each` for all pairs of which a condition demands that they are equal. The right one is `None` if it is a list or
/// a query.
fn equalities<'a>(condition: &'a Expr, each: &mut dyn FnMut(&'a Expr, Option<&'a Expr>)) {
    match condition {
        Expr::Nested(inner) => equalities(inner, each),
        Expr::BinaryOp { left, op, right } => match (op, &**left, &**right) {
            (BinaryOperator::And, left, right) => {
                equalities(left, each);
                equalities(right, each);
            }
            (BinaryOperator::Eq, Expr::Tuple(left), Expr::Tuple(right)) => {
                for (left, right) in left.iter().zip(right) {
                    each(left, Some(right));
                }
            }
            (BinaryOperator::Eq, left, right) => each(left, Some(right)),
            _ => {}
        },
        Expr::In {
            expr,
            negated: false,
            ..
        } => match &**expr {
            Expr::Tuple(elements) => elements.iter().for_each(|element| each(element, None)),
            element => each(element, None),
        },
        _ => {}
    }
}

fn is_of_tenants(name: &str, tables: &BTreeSet<String>, is_target: bool) -> bool {
    tables.contains(name) || is_target && name == HOLE
}

fn last_name(name: &ObjectName) -> String {
    let last = name.0.last().and_then(|part| part.as_ident());
    last.map_or_else(String::new, |last| last.value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> StatementReading {
        let tables = ["devices", "updates"].map(str::to_owned);
        let mut pieces = Vec::new();
        for part in text.split("{}") {
            pieces.extend([Piece::Text(part.to_owned()), Piece::Hole]);
        }
        pieces.pop();
        read(&pieces, &BTreeSet::from(tables))
    }

    #[test]
    fn a_restricted_statement_is_accepted() {
        for (mentions, text) in [
            (1, "SELECT id FROM devices WHERE tenant_id = $1 AND id = $2"),
            (
                1,
                "SELECT {} FROM devices d WHERE +d.tenant_id = {}{} ORDER BY id{}",
            ),
            (
                1,
                "SELECT id FROM devices WHERE (tenant_id, id) IN (SELECT g.tenant_id, g.id FROM {})",
            ),
            (
                2,
                "SELECT 1 FROM updates u JOIN devices d ON d.tenant_id = u.tenant_id WHERE u.tenant_id = $1",
            ),
            (
                2,
                "SELECT 1 FROM devices d LEFT JOIN updates u ON u.tenant_id = d.tenant_id WHERE d.tenant_id = $1",
            ),
            (
                1,
                "UPDATE {} SET {} FROM {} WHERE +{}.tenant_id = $1 AND {}.id = n.id AND {}",
            ),
            (
                1,
                "UPDATE devices SET a = used.a FROM {} WHERE devices.tenant_id = used.tenant_id",
            ),
            (1, "DELETE FROM devices WHERE tenant_id = $1"),
            (
                1,
                "INSERT INTO devices (tenant_id, id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            ),
            (
                1,
                "EXISTS (SELECT 1 FROM updates u WHERE u.tenant_id = d.tenant_id)",
            ),
            (
                1,
                " AND EXISTS (SELECT 1 FROM updates u WHERE u.tenant_id = d.tenant_id)",
            ),
            (2, "updates u JOIN devices d ON d.tenant_id = u.tenant_id"),
            (
                1,
                "SELECT 1 FROM devices d JOIN tenants t ON t.id = d.tenant_id WHERE t.id = $1",
            ),
        ] {
            let unbound = Vec::new();
            assert_eq!(
                read_text(text),
                StatementReading::Sql { mentions, unbound },
                "{text}"
            );
        }
    }

    #[test]
    fn an_unrestricted_table_is_found() {
        for (text, expected) in [
            ("SELECT id FROM devices WHERE id = $1", "devices"),
            (
                "SELECT 1 FROM devices d JOIN tenants t ON t.id = d.tenant_id",
                "d",
            ),
            (
                "SELECT tenant_id FROM devices WHERE id = $1 ORDER BY tenant_id",
                "devices",
            ),
            (
                "SELECT id FROM devices WHERE tenant_id = $1 OR id = $2",
                "devices",
            ),
            ("SELECT id FROM devices WHERE NOT tenant_id = $1", "devices"),
            ("SELECT id FROM devices WHERE tenant_id <> $1", "devices"),
            (
                "SELECT id FROM devices WHERE tenant_id NOT IN ($1)",
                "devices",
            ),
            (
                "SELECT id FROM devices d WHERE d.tenant_id = d.tenant_id",
                "d",
            ),
            (
                "SELECT 1 FROM updates u JOIN devices d ON d.id = u.device_key WHERE u.tenant_id = $1",
                "d",
            ),
            (
                "SELECT 1 FROM updates u, devices d WHERE u.tenant_id = $1",
                "d",
            ),
            (
                "SELECT 1 FROM updates u JOIN devices d ON d.tenant_id = u.tenant_id",
                "u d",
            ),
            (
                "SELECT 1 FROM devices d LEFT JOIN updates u ON u.tenant_id = $1 AND d.tenant_id = $1",
                "d",
            ),
            (
                "SELECT id FROM devices WHERE tenant_id = $1 UNION SELECT id FROM updates",
                "updates",
            ),
            (
                "SELECT id FROM devices WHERE tenant_id = $1 AND id IN (SELECT id FROM updates)",
                "updates",
            ),
            (
                "WITH x AS (SELECT id FROM updates) SELECT id FROM x",
                "updates",
            ),
            ("UPDATE {} SET {} FROM {} WHERE id = n.id", "hole"),
            ("UPDATE devices SET tenant_id = $1 WHERE id = $2", "devices"),
            ("DELETE FROM devices WHERE id = $1", "devices"),
            ("DELETE FROM {} WHERE id = $1", "hole"),
            (
                "INSERT INTO devices (id) SELECT id FROM updates WHERE tenant_id = $1",
                "devices",
            ),
            (
                "EXISTS (SELECT 1 FROM updates u WHERE u.device_key = d.id)",
                "u",
            ),
            ("updates u JOIN devices d ON d.id = u.device_key", "d"),
        ] {
            let StatementReading::Sql { unbound, .. } = read_text(text) else {
                panic!("not read: {text}");
            };
            assert_eq!(unbound.join(" "), expected, "{text}");
        }
    }

    #[test]
    fn prose_is_no_sql_and_broken_sql_is_reported() {
        for text in [
            "SELECT id FROM tenants",
            "read updates",
            "the device's updates",
            " FOR UPDATE",
        ] {
            assert_eq!(read_text(text), StatementReading::Other, "{text}");
        }
        for text in ["SELECT FROM WHERE devices", "SELECT 'a FROM devices"] {
            assert_eq!(read_text(text), StatementReading::Invalid, "{text}");
        }
    }
}
