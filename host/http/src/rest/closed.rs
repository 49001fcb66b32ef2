//! What requests bring is read whole: the OpenAPI document says that fields nobody knows are refused.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;
use utoipa::openapi::{
    OpenApi, RefOr,
    schema::{AdditionalProperties, Schema},
};

const SCHEMAS: &str = "#/components/schemas/";

/// Closes every schema that a request body is made of.
pub(super) fn close_bodies(document: &mut OpenApi) {
    let mut reached = BTreeSet::new();
    let items = document.paths.paths.values();
    let operations = items.flat_map(|item| [&item.put, &item.post, &item.patch, &item.delete]);
    for body in operations
        .flatten()
        .filter_map(|one| one.request_body.as_ref())
    {
        names(body, &mut reached);
    }
    let Some(components) = &mut document.components else {
        return;
    };
    let mut open: Vec<String> = reached.iter().cloned().collect();
    while let Some(name) = open.pop() {
        let mut within = BTreeSet::new();
        if let Some(schema) = components.schemas.get(&name) {
            names(schema, &mut within);
        }
        open.extend(
            within
                .into_iter()
                .filter(|name| reached.insert(name.clone())),
        );
    }
    for (name, schema) in &mut components.schemas {
        if let (true, RefOr::T(Schema::Object(object))) = (reached.contains(name), schema)
            && !object.properties.is_empty()
        {
            let closed = || Box::new(AdditionalProperties::FreeForm(false));
            object.additional_properties.get_or_insert_with(closed);
        }
    }
}

/// The schemas that something refers to.
fn names(part: &impl Serialize, found: &mut BTreeSet<String>) {
    // What cannot be written refers to nothing; the document itself would fail, too.
    let value = serde_json::to_value(part).unwrap_or_default();
    references(&value, found);
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(target)) = fields.get("$ref")
                && let Some(name) = target.strip_prefix(SCHEMAS)
            {
                found.insert(name.to_owned());
            }
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}
