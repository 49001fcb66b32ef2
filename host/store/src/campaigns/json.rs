//! The JSON columns of a campaign. SQL reads only the name of the strategy, for the turns of due campaigns.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sqlx::any::AnyRow;
use tidegate_core::{
    Named as _,
    campaign::{Approval, AwaitedGate, Hold, PluginUse, Rollback, Targets},
    plugin::{ClassKey, Gate, OperatorAct},
    selector::{SelectorText, Syntax},
    time::Timestamp,
};
use tidegate_engine::{Role, ports::Advance};

use crate::{
    rows::{RowError, RowExt as _, parse_value},
    selector_json::SyntaxJson,
};

/// The number of operator acts that are kept for strategies.
pub(super) const MAX_OPERATOR_ACTS: usize = 64;

#[derive(Serialize, Deserialize)]
pub(super) struct TargetsJson {
    devices: Vec<String>,
    groups: Vec<String>,
    filter: Option<String>,
    /// Rules of the filter.
    #[serde(default)]
    filter_syntax: SyntaxJson,
}

impl From<Targets> for TargetsJson {
    fn from(targets: Targets) -> Self {
        let (filter, filter_syntax) = match targets.filter {
            Some(SelectorText { text, syntax }) => (Some(text), syntax),
            None => (None, Syntax::CURRENT),
        };
        Self {
            devices: targets.devices,
            groups: targets.groups,
            filter,
            filter_syntax: filter_syntax.into(),
        }
    }
}

impl From<TargetsJson> for Targets {
    fn from(json: TargetsJson) -> Self {
        Self {
            devices: json.devices,
            groups: json.groups,
            filter: json.filter.map(|text| SelectorText {
                text,
                syntax: json.filter_syntax.into(),
            }),
            // Stored in a separate column.
            feed: None,
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct PluginJson {
    plugin: String,
    revision: String,
    version: String,
    kind: String,
    config: String,
}

impl From<PluginUse> for PluginJson {
    fn from(plugin: PluginUse) -> Self {
        Self {
            plugin: plugin.plugin.to_string(),
            revision: plugin.revision.to_string(),
            version: plugin.version,
            kind: plugin.kind.as_str().to_owned(),
            config: plugin.config,
        }
    }
}

impl TryFrom<PluginJson> for PluginUse {
    type Error = RowError;

    fn try_from(json: PluginJson) -> Result<Self, RowError> {
        Ok(Self {
            plugin: parse_value("plugin", &json.plugin)?,
            revision: parse_value("plugin revision", &json.revision)?,
            version: json.version,
            kind: parse_value("plugin kind", &json.kind)?,
            config: json.config,
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct HoldJson {
    reason: String,
    by: String,
    since: i64,
}

impl From<Hold> for HoldJson {
    fn from(hold: Hold) -> Self {
        Self {
            reason: hold.reason,
            by: hold.by,
            since: hold.since.0,
        }
    }
}

impl From<HoldJson> for Hold {
    fn from(json: HoldJson) -> Self {
        Self {
            reason: json.reason,
            by: json.by,
            since: Timestamp(json.since),
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct AdvanceJson {
    by: String,
    at: i64,
    applied: Option<bool>,
    explain: Vec<String>,
}

impl From<Advance> for AdvanceJson {
    fn from(advance: Advance) -> Self {
        Self {
            by: advance.by,
            at: advance.at.0,
            applied: advance.applied,
            explain: advance.explain,
        }
    }
}

impl From<AdvanceJson> for Advance {
    fn from(json: AdvanceJson) -> Self {
        Self {
            by: json.by,
            at: Timestamp(json.at),
            applied: json.applied,
            explain: json.explain,
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct ApprovalJson {
    by: String,
    comment: String,
    at: i64,
}

impl From<Approval> for ApprovalJson {
    fn from(approval: Approval) -> Self {
        Self {
            by: approval.by,
            comment: approval.comment,
            at: approval.at.0,
        }
    }
}

impl From<ApprovalJson> for Approval {
    fn from(json: ApprovalJson) -> Self {
        Self {
            by: json.by,
            comment: json.comment,
            at: Timestamp(json.at),
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct RollbackJson {
    scope: String,
    reason: String,
    by: String,
    /// Missing if an earlier version wrote it.
    since: Option<i64>,
}

impl From<Rollback> for RollbackJson {
    fn from(rollback: Rollback) -> Self {
        Self {
            scope: rollback.scope.as_str().to_owned(),
            reason: rollback.reason,
            by: rollback.by,
            since: rollback.since.map(|at| at.0),
        }
    }
}

impl TryFrom<RollbackJson> for Rollback {
    type Error = RowError;

    fn try_from(json: RollbackJson) -> Result<Self, RowError> {
        Ok(Self {
            scope: parse_value("rollback scope", &json.scope)?,
            reason: json.reason,
            by: json.by,
            since: json.since.map(Timestamp),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct AwaitingJson {
    gate: String,
    before: Option<u32>,
    since: i64,
}

impl From<AwaitedGate> for AwaitingJson {
    fn from(awaiting: AwaitedGate) -> Self {
        Self {
            gate: awaiting.gate.name,
            before: awaiting.gate.before,
            since: awaiting.since.0,
        }
    }
}

impl From<AwaitingJson> for AwaitedGate {
    fn from(json: AwaitingJson) -> Self {
        Self {
            gate: Gate {
                name: json.gate,
                before: json.before,
            },
            since: Timestamp(json.since),
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct ActJson {
    at: i64,
    kind: String,
    #[serde(default)]
    gate: Option<String>,
    wave: Option<u32>,
    #[serde(default)]
    reason: Option<String>,
    /// Acts of servers that did not store it required this role.
    #[serde(default = "operator")]
    role: String,
}

fn operator() -> String {
    Role::Operator.as_str().to_owned()
}

impl From<OperatorAct> for ActJson {
    fn from(act: OperatorAct) -> Self {
        Self {
            at: act.at.0,
            kind: act.kind.as_str().to_owned(),
            gate: act.gate,
            wave: act.wave,
            reason: act.reason,
            role: act.role,
        }
    }
}

impl TryFrom<ActJson> for OperatorAct {
    type Error = RowError;

    fn try_from(json: ActJson) -> Result<Self, RowError> {
        Ok(Self {
            at: Timestamp(json.at),
            kind: parse_value("operator act", &json.kind)?,
            gate: json.gate,
            wave: json.wave,
            reason: json.reason,
            role: json.role,
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct ClassJson {
    hardware_model: Option<String>,
    hardware_revision: Option<String>,
    version: Option<String>,
    attributes: Vec<(String, String)>,
}

impl From<ClassKey> for ClassJson {
    fn from(key: ClassKey) -> Self {
        Self {
            hardware_model: key.hardware_model,
            hardware_revision: key.hardware_revision,
            version: key.version,
            attributes: key.attributes,
        }
    }
}

impl From<ClassJson> for ClassKey {
    fn from(json: ClassJson) -> Self {
        Self {
            hardware_model: json.hardware_model,
            hardware_revision: json.hardware_revision,
            version: json.version,
            attributes: json.attributes,
        }
    }
}

/// Reads a list of JSON objects.
pub(super) fn json_list<Json, T>(row: &AnyRow, column: &'static str) -> Result<Vec<T>, RowError>
where
    Json: DeserializeOwned,
    T: TryFrom<Json, Error = RowError>,
{
    let json_list: Vec<Json> = row.json(column)?;
    json_list.into_iter().map(T::try_from).collect()
}
