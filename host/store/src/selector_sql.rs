//! Selectors over devices as SQL. They match the same devices as `tidegate_core::selector::matches`; a test compares
//! both on random fleets.

use tidegate_core::{
    device::DeviceState,
    selector::{Comparison, FieldKind, Operator, Selector, Value},
    version::sort_key,
};
use tidegate_engine::ports::OverdueRule;

use crate::{
    dialect::{Dialect, storable},
    sql::{Parameters, literal},
};

/// The state of `devices d` as operators see it.
pub(crate) fn shown_state(
    overdue: Option<&OverdueRule>,
    dialect: Dialect,
    parameters: &mut Parameters,
) -> String {
    match overdue {
        None => "d.state".to_owned(),
        Some(overdue) => format!(
            "CASE WHEN {} THEN {} ELSE d.state END",
            is_overdue(overdue, dialect, parameters),
            literal(DeviceState::Overdue)
        ),
    }
}

/// The condition that `devices d` is overdue, as [`OverdueRule::includes`] defines it.
pub(crate) fn is_overdue(
    overdue: &OverdueRule,
    dialect: Dialect,
    parameters: &mut Parameters,
) -> String {
    let before = parameters.bind(overdue.before.0);
    let mut condition = format!("d.last_seen < {before}");
    if !overdue.seen.is_empty() {
        let seen: Vec<_> = overdue.seen.iter().map(|key| key.0.to_string()).collect();
        let seen = parameters.bind(format!("[{}]", seen.join(",")));
        let seen = dialect.json_numbers(&seen);
        condition = format!("{condition} AND d.id NOT IN (SELECT value FROM {seen})");
    }
    condition
}

/// A condition on `devices d` that is never NULL. Its values are bound.
pub(crate) fn condition(
    selector: &Selector,
    overdue: Option<&OverdueRule>,
    dialect: Dialect,
    parameters: &mut Parameters,
) -> String {
    let mut join = |terms: &[Selector], word: &str| {
        let terms: Vec<_> = terms
            .iter()
            .map(|term| condition(term, overdue, dialect, parameters))
            .collect();
        format!("({})", terms.join(word))
    };
    match selector {
        Selector::And(terms) => join(terms, " AND "),
        Selector::Or(terms) => join(terms, " OR "),
        Selector::Compare(comparison) => compare(comparison, overdue, dialect, parameters),
    }
}

fn compare(
    comparison: &Comparison,
    overdue: Option<&OverdueRule>,
    dialect: Dialect,
    parameters: &mut Parameters,
) -> String {
    let (operator, is_negated) = match comparison.operator {
        // Negated operators also match devices without the field.
        Operator::NotEqual => (Operator::Equal, true),
        Operator::Out => (Operator::In, true),
        operator => (operator, false),
    };
    let state = if comparison.field == "state" {
        shown_state(overdue, dialect, parameters)
    } else {
        String::new()
    };
    let mut any = |text: &str, key: &str| {
        let terms: Vec<_> = comparison
            .values
            .iter()
            .map(|value| {
                let column = Column { text, key };
                column.holds(comparison.kind, operator, value, dialect, parameters)
            })
            .collect();
        format!("({})", terms.join(" OR "))
    };
    let holds = match comparison.field.as_str() {
        "device_id" => any("d.device_id", ""),
        "name" => any("d.name", ""),
        "state" => any(&state, ""),
        "mode" => any("d.mode", ""),
        "pinned" => any("CASE WHEN d.pinned = 1 THEN 'true' ELSE 'false' END", ""),
        "drifted" => any(
            "CASE WHEN d.drifted_at IS NULL THEN 'false' ELSE 'true' END",
            "",
        ),
        "created_at" => any("d.created_at", ""),
        "feed" => format!("(d.feed IS NOT NULL AND {})", any("d.feed", "")),
        "hw_model" => format!("(d.hw_model IS NOT NULL AND {})", any("d.hw_model", "")),
        "hw_revision" => {
            let any = any("d.hw_revision", "d.hw_revision_key");
            format!("(d.hw_revision IS NOT NULL AND {any})")
        }
        "sw_version" => {
            let any = any("d.sw_version", "d.sw_version_key");
            format!("(d.sw_version IS NOT NULL AND {any})")
        }
        "last_seen" => format!("(d.last_seen IS NOT NULL AND {})", any("d.last_seen", "")),
        "group" => format!(
            "EXISTS (SELECT 1 FROM device_groups g \
             WHERE g.tenant_id = d.tenant_id AND g.device_key = d.id AND {})",
            any("g.name", "")
        ),
        field => {
            if let Some(attribute) = field.strip_prefix("attribute.") {
                let any = any("a.value", "");
                let key = parameters.bind(storable(attribute).into_owned());
                format!(
                    "EXISTS (SELECT 1 FROM device_attributes a WHERE a.tenant_id = d.tenant_id \
                     AND a.device_key = d.id AND a.attribute_key = {key} AND {any})"
                )
            } else if let Some(label) = field.strip_prefix("label.") {
                let any = any("l.value", "");
                let key = parameters.bind(storable(label).into_owned());
                format!(
                    "EXISTS (SELECT 1 FROM device_labels l WHERE l.tenant_id = d.tenant_id \
                     AND l.device_key = d.id AND l.label_key = {key} AND {any})"
                )
            } else {
                // Not a field of devices.
                "(1 = 0)".to_owned()
            }
        }
    };
    if is_negated {
        format!("(NOT {holds})")
    } else {
        holds
    }
}

/// The column of a field and, for versions, the column of its [`sort_key`].
struct Column<'a> {
    text: &'a str,
    key: &'a str,
}

impl Column<'_> {
    fn holds(
        &self,
        kind: FieldKind,
        operator: Operator,
        value: &Value,
        dialect: Dialect,
        parameters: &mut Parameters,
    ) -> String {
        let value = match value {
            Value::Pattern(parts) => {
                let pattern = dialect.pattern(parts);
                let pattern = parameters.bind(storable(&pattern).into_owned());
                return dialect.matches(self.text, &pattern);
            }
            Value::Exact(value) => value,
        };
        let sign = match operator {
            Operator::Equal | Operator::In | Operator::NotEqual | Operator::Out => "=",
            Operator::Less => "<",
            Operator::LessOrEqual => "<=",
            Operator::Greater => ">",
            Operator::GreaterOrEqual => ">=",
        };
        match kind {
            FieldKind::Text | FieldKind::Word(_) => {
                let value = parameters.bind(storable(value).into_owned());
                format!("{} {sign} {value}", self.text)
            }
            FieldKind::Version => {
                let value = parameters.bind(storable(&sort_key(value)).into_owned());
                format!("{} {sign} {value}", self.key)
            }
            FieldKind::Time => match value.parse::<i64>() {
                Ok(millis) => format!("{} {sign} {}", self.text, parameters.bind(millis)),
                Err(_) => "(1 = 0)".to_owned(),
            },
        }
    }
}
