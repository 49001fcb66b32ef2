//! A campaign as the body that would create it, with a merge patch applied.

use serde_json::{Map, Value, json};
use tidegate_core::{
    Named as _,
    campaign::{Campaign, PluginUse},
    plugin::{FieldError, PluginKind, PluginName},
};
use tidegate_engine::{Error, campaigns};

use super::{create::NewCampaignRequest, short_form::SHORT_FORM_FIELDS};
use crate::{
    problem::Result,
    rest::{
        from_json::FromJson as _,
        patch::merge,
        shared::{remove_dependent_options, update_options::UpdateOptionsView},
    },
};

/// The body that would create the campaign with the patch applied. Unknown fields of the patch are in it, also if they are
/// null, so that they are errors. `names_compatibility`: whether the patch names a compatibility policy.
pub(super) fn merged_body(
    campaign: &Campaign,
    patch: &Value,
    names_compatibility: bool,
) -> Result<Value> {
    let mut body = creation_body(campaign)?;
    remove_replaced_fields(&mut body, campaign, patch)?;
    if names_compatibility {
        // Allowed only without such a policy.
        body.remove("allow_incompatible");
    }
    let mut body = Value::Object(body);
    merge(&mut body, patch.clone());
    for path in NewCampaignRequest::from_json(patch).unknown {
        if let Some(name) = path.strip_prefix('/')
            && patch.get(name).is_some_and(Value::is_null)
        {
            body[name] = Value::Null;
        }
    }
    Ok(body)
}

/// The errors of fields of the short form that are null although the patch has no strategy: a campaign does not have them.
pub(super) fn misplaced_nulls(patch: &Value) -> Vec<FieldError> {
    let has = |name: &str| patch.get(name).is_some_and(|value| !value.is_null());
    if has("strategy") || has("deployment_strategy") {
        return Vec::new();
    }
    let null = SHORT_FORM_FIELDS.iter().filter(|field| {
        let value = patch.pointer(field);
        value.is_some_and(Value::is_null)
    });
    let error = |field: &&str| {
        FieldError {
        path: (*field).to_owned(),
        message: "cannot be reset: the campaign has a strategy with a config; change a part of `strategy`".to_owned(),
    }
    };
    null.map(error).collect()
}

/// The policies that a patch names. Texts that are no names are left out.
pub(super) fn named_policies(patch: &Value) -> impl Iterator<Item = PluginName> {
    let policies = patch.get("policies").and_then(Value::as_array);
    let names = policies
        .into_iter()
        .flatten()
        .map(|policy| &policy["plugin"]);
    names.filter_map(|name| name.as_str()?.parse().ok())
}

/// The fields of a patch that creation takes.
pub(super) fn creation_fields(patch: &Value) -> Vec<String> {
    let unknown = NewCampaignRequest::from_json(patch).unknown;
    let names = patch.as_object().into_iter().flat_map(Map::keys);
    names
        .filter(|name| !unknown.contains(&format!("/{name}")))
        .cloned()
        .collect()
}

fn creation_body(campaign: &Campaign) -> Result<Map<String, Value>> {
    let spec = &campaign.spec;
    let policies: Result<Vec<_>> = spec.policies.iter().map(selection).collect();
    let body = json!({
        "name": spec.name,
        "description": spec.description,
        "firmware_id": spec.firmware.0,
        "target_devices": spec.targets.devices,
        "target_groups": spec.targets.groups,
        "target_filter": spec.targets.filter.as_ref().map(|filter| &filter.text),
        "target_feed": spec.targets.feed,
        "allow_beta": spec.allow_beta,
        "allow_incompatible": !campaigns::warnings(campaign).is_empty(),
        "strategy": selection(&spec.strategy)?,
        "policies": policies?,
        "priority": spec.priority.as_str(),
        "max_concurrent_updates": spec.max_concurrent_updates,
        "requires_approval": spec.requires_approval,
        "auto_rollback": spec.auto_rollback,
        "failure_threshold_percent": spec.failure_threshold_percent,
    });
    let options = UpdateOptionsView::new(&spec.options, spec.success_criteria);
    let options = serde_json::to_value(options).map_err(|error| internal(&error))?;
    let mut fields = Map::new();
    for part in [body, options] {
        if let Value::Object(part) = part {
            fields.extend(part.into_iter().filter(|(_, value)| !value.is_null()));
        }
    }
    Ok(fields)
}

/// Removes what the patch replaces as a whole, so that a field is no error that the patch does not have.
fn remove_replaced_fields(
    body: &mut Map<String, Value>,
    campaign: &Campaign,
    patch: &Value,
) -> Result<()> {
    remove_dependent_options(body, patch);
    let has = |name: &str| patch.get(name).is_some_and(|value| !value.is_null());
    let new_plugin = patch.pointer("/strategy/plugin").and_then(Value::as_str);
    let is_other = new_plugin
        .is_some_and(|plugin| plugin.parse().as_ref() != Ok(&campaign.spec.strategy.plugin));
    if is_other || SHORT_FORM_FIELDS.iter().any(|field| has(&field[1..])) {
        body.remove("strategy");
    }
    if patch.get("allow_incompatible") == Some(&Value::Bool(true)) {
        let others = campaign.spec.policies.iter();
        let others = others.filter(|policy| policy.kind != PluginKind::Compatibility);
        let others: Result<Vec<_>> = others.map(selection).collect();
        body.insert("policies".to_owned(), others?.into());
    }
    Ok(())
}

/// A plugin with its revision, as a request selects it.
fn selection(plugin: &PluginUse) -> Result<Value> {
    let config: Value = serde_json::from_str(&plugin.config).map_err(|error| internal(&error))?;
    let revision = plugin.revision.to_string();
    Ok(json!({ "plugin": plugin.plugin.to_string(), "revision": revision, "config": config }))
}

fn internal(error: &serde_json::Error) -> crate::problem::Problem {
    Error::internal("write a campaign as its request", error.to_string()).into()
}
