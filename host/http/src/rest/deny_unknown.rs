//! States in the OpenAPI document that request bodies with unknown fields are rejected.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;
use utoipa::openapi::{
    OpenApi, RefOr,
    schema::{AdditionalProperties, Schema},
};

const SCHEMAS: &str = "#/components/schemas/";

/// Sets `additionalProperties: false` on every schema reachable from a request body.
pub(super) fn deny_unknown_fields(document: &mut OpenApi) {
    let mut reached = BTreeSet::new();
    let items = document.paths.paths.values();
    let operations = items.flat_map(|item| [&item.put, &item.post, &item.patch, &item.delete]);
    for body in operations
        .flatten()
        .filter_map(|operation| operation.request_body.as_ref())
    {
        collect_schema_names(body, &mut reached);
    }
    let Some(components) = &mut document.components else {
        return;
    };
    let mut queue: Vec<String> = reached.iter().cloned().collect();
    while let Some(name) = queue.pop() {
        let mut nested = BTreeSet::new();
        if let Some(schema) = components.schemas.get(&name) {
            collect_schema_names(schema, &mut nested);
        }
        queue.extend(
            nested
                .into_iter()
                .filter(|name| reached.insert(name.clone())),
        );
    }
    for (name, schema) in &mut components.schemas {
        if let (true, RefOr::T(Schema::Object(object))) = (reached.contains(name), schema)
            && !object.properties.is_empty()
        {
            let denied = || Box::new(AdditionalProperties::FreeForm(false));
            object.additional_properties.get_or_insert_with(denied);
        }
    }
}

/// Adds the names of the schemas that `part` refers to.
fn collect_schema_names(part: &impl Serialize, found: &mut BTreeSet<String>) {
    // A part that cannot be serialized has no references; serializing the document would fail, too.
    let value = serde_json::to_value(part).unwrap_or_default();
    collect_ref_targets(&value, found);
}

fn collect_ref_targets(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(target)) = fields.get("$ref")
                && let Some(name) = target.strip_prefix(SCHEMAS)
            {
                found.insert(name.to_owned());
            }
            fields
                .values()
                .for_each(|value| collect_ref_targets(value, found));
        }
        Value::Array(items) => items
            .iter()
            .for_each(|value| collect_ref_targets(value, found)),
        _ => {}
    }
}
