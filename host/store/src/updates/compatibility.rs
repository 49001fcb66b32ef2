//! The compatibility of an update as JSON, which SQL does not read.

use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use tidegate_core::{
    time::Timestamp,
    update::{ChosenPolicy, CompatibilityBasis, UpdateClass, UpdatePolicies},
};
use tidegate_engine::ports::StoreError;

use crate::{
    dialect::storable,
    rows::{RowError, RowExt as _, parse_value, to_json},
};

const COLUMN: &str = "compatibility";

#[derive(Serialize, Deserialize)]
struct CompatibilityJson {
    policies: PoliciesJson,
    accepted: Option<AcceptedJson>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PoliciesJson {
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
    model: Option<String>,
    revision: Option<String>,
    version: Option<String>,
    at: i64,
}

pub(crate) fn to_text(basis: Option<&CompatibilityBasis>) -> Result<Option<String>, StoreError> {
    let json = basis.map(|basis| CompatibilityJson {
        policies: (&basis.policies).into(),
        accepted: basis.accepted.as_ref().map(|(class, at)| AcceptedJson {
            model: class.hardware_model.clone(),
            revision: class.hardware_revision.clone(),
            version: class.version.clone(),
            at: at.0,
        }),
    });
    json.map(|json| to_json(&json)).transpose()
}

pub(crate) fn from_row(row: &AnyRow) -> Result<Option<CompatibilityBasis>, RowError> {
    let Some(text) = row.take::<Option<&str>>(COLUMN)? else {
        return Ok(None);
    };
    let json: CompatibilityJson = serde_json::from_str(text).map_err(|error| RowError::Json {
        column: COLUMN,
        error,
    })?;
    Ok(Some(CompatibilityBasis {
        policies: json.policies.try_into()?,
        accepted: json.accepted.map(|accepted| {
            let class = UpdateClass {
                hardware_model: accepted.model,
                hardware_revision: accepted.revision,
                version: accepted.version,
            };
            (class, Timestamp(accepted.at))
        }),
    }))
}

impl From<&UpdatePolicies> for PoliciesJson {
    fn from(policies: &UpdatePolicies) -> Self {
        match policies {
            UpdatePolicies::Campaign => Self::Campaign,
            UpdatePolicies::Hardware => Self::Hardware,
            UpdatePolicies::Latest => Self::Latest,
            UpdatePolicies::Default => Self::Default,
            UpdatePolicies::Chosen(chosen) => Self::Chosen(
                chosen
                    .iter()
                    .map(|policy| ChosenJson {
                        plugin: policy.plugin.clone(),
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
            PoliciesJson::Campaign => Self::Campaign,
            PoliciesJson::Hardware => Self::Hardware,
            PoliciesJson::Latest => Self::Latest,
            PoliciesJson::Default => Self::Default,
            PoliciesJson::Chosen(chosen) => {
                let chosen = chosen.into_iter().map(|policy| {
                    Ok(ChosenPolicy {
                        plugin: policy.plugin,
                        revision: parse_value("plugin revision", &policy.revision)?,
                        config: policy.config,
                    })
                });
                Self::Chosen(chosen.collect::<Result<_, RowError>>()?)
            }
        })
    }
}
