//! The compatibility of an update as JSON, which SQL does not read.

use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use tidegate_core::{
    id::FirmwareId,
    plugin::ClassKey,
    time::Timestamp,
    update::{ChosenPolicy, CompatibilityBasis, UpdatePolicies, UpgradePath},
};
use tidegate_engine::ports::StoreError;

use crate::{
    dialect::storable,
    rows::{RowError, RowExt as _, parse_value, to_json},
};

const COLUMN: &str = "compatibility";

#[derive(Serialize, Deserialize)]
pub(super) struct CompatibilityJson {
    policies: PoliciesJson,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<String>,
    accepted: Option<AcceptedJson>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rejected: Option<BasisClassJson>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<UpgradePathJson>,
}

#[derive(Serialize, Deserialize)]
struct UpgradePathJson {
    target: i64,
    target_version: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    installed: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PoliciesJson {
    Forced,
    Campaign,
    Hardware,
    Latest,
    Default,
    Chosen(Vec<ChosenJson>),
}

#[derive(Serialize, Deserialize)]
struct ChosenJson {
    plugin: String,
    revision: String,
    config: String,
}

/// The class that the policies accepted.
#[derive(Serialize, Deserialize)]
struct AcceptedJson {
    #[serde(flatten)]
    class: BasisClassJson,
    at: i64,
}

#[derive(Serialize, Deserialize)]
struct BasisClassJson {
    model: Option<String>,
    revision: Option<String>,
    version: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<(String, String)>,
}

pub(crate) fn to_text(basis: Option<&CompatibilityBasis>) -> Result<Option<String>, StoreError> {
    let json = basis.map(|basis| CompatibilityJson {
        policies: (&basis.policies).into(),
        attributes: basis.attributes.clone(),
        accepted: basis.accepted.as_ref().map(|(class, at)| AcceptedJson {
            class: class.clone().into(),
            at: at.0,
        }),
        rejected: basis.rejected.clone().map(BasisClassJson::from),
        path: basis.path.as_ref().map(UpgradePathJson::from),
    });
    json.map(|json| to_json(&json)).transpose()
}

pub(crate) fn from_row(row: &AnyRow) -> Result<Option<CompatibilityBasis>, RowError> {
    let json: Option<CompatibilityJson> = row.json_optional(COLUMN)?;
    json.map(CompatibilityBasis::try_from).transpose()
}

impl TryFrom<CompatibilityJson> for CompatibilityBasis {
    type Error = RowError;

    fn try_from(json: CompatibilityJson) -> Result<Self, RowError> {
        Ok(Self {
            policies: json.policies.try_into()?,
            attributes: json.attributes,
            accepted: json
                .accepted
                .map(|accepted| (accepted.class.into(), Timestamp(accepted.at))),
            rejected: json.rejected.map(ClassKey::from),
            path: json.path.map(UpgradePath::from),
        })
    }
}

impl From<&UpgradePath> for UpgradePathJson {
    fn from(path: &UpgradePath) -> Self {
        let text = |text: &String| storable(text).into_owned();
        Self {
            target: path.target.0,
            target_version: text(&path.target_version),
            installed: path.installed.iter().map(text).collect(),
            reason: path.reason.as_ref().map(text),
        }
    }
}

impl From<UpgradePathJson> for UpgradePath {
    fn from(json: UpgradePathJson) -> Self {
        Self {
            target: FirmwareId(json.target),
            target_version: json.target_version,
            installed: json.installed,
            reason: json.reason,
        }
    }
}

impl From<ClassKey> for BasisClassJson {
    fn from(class: ClassKey) -> Self {
        Self {
            model: class.hardware_model,
            revision: class.hardware_revision,
            version: class.version,
            attributes: class.attributes,
        }
    }
}

impl From<BasisClassJson> for ClassKey {
    fn from(json: BasisClassJson) -> Self {
        Self {
            hardware_model: json.model,
            hardware_revision: json.revision,
            version: json.version,
            attributes: json.attributes,
        }
    }
}

impl From<&UpdatePolicies> for PoliciesJson {
    fn from(policies: &UpdatePolicies) -> Self {
        match policies {
            UpdatePolicies::Forced => Self::Forced,
            UpdatePolicies::Campaign => Self::Campaign,
            UpdatePolicies::Hardware => Self::Hardware,
            UpdatePolicies::Latest => Self::Latest,
            UpdatePolicies::Default => Self::Default,
            UpdatePolicies::Chosen(chosen) => Self::Chosen(
                chosen
                    .iter()
                    .map(|policy| ChosenJson {
                        plugin: policy.plugin.to_string(),
                        revision: policy.revision.to_string(),
                        config: storable(&policy.config).into_owned(),
                    })
                    .collect(),
            ),
        }
    }
}

impl TryFrom<PoliciesJson> for UpdatePolicies {
    type Error = RowError;

    fn try_from(json: PoliciesJson) -> Result<Self, RowError> {
        Ok(match json {
            PoliciesJson::Forced => Self::Forced,
            PoliciesJson::Campaign => Self::Campaign,
            PoliciesJson::Hardware => Self::Hardware,
            PoliciesJson::Latest => Self::Latest,
            PoliciesJson::Default => Self::Default,
            PoliciesJson::Chosen(chosen) => {
                let chosen = chosen.into_iter().map(|policy| {
                    Ok(ChosenPolicy {
                        plugin: parse_value("plugin", &policy.plugin)?,
                        revision: parse_value("plugin revision", &policy.revision)?,
                        config: policy.config,
                    })
                });
                Self::Chosen(chosen.collect::<Result<_, RowError>>()?)
            }
        })
    }
}
