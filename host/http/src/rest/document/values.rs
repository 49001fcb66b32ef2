//! The values that parameters and ids can have.

use serde_json::Value;
use strum::VariantNames as _;
use tidegate_core::{checker::MAX_GATE_NAME, device::MAX_ID_CHARS, selector::MAX_LENGTH};
use tidegate_engine::ports::DeviceSort;
use utoipa::{
    Number,
    openapi::{
        Components, RefOr,
        path::{Operation, Parameter, ParameterIn},
        schema::{AllOf, Array, ArrayItems, Object, OneOf, Schema},
    },
};

use super::schemas::without_null;
use crate::rest::query::{DEFAULT_LIMIT, MAX_LIMIT};

/// Ids of rows, wherever a parameter or a property has one of these names. They are numbered from 1.
const ROW_IDS: [&str; 11] = [
    "authority_id",
    "campaign_id",
    "firmware_id",
    "gateway_id",
    "installed_firmware",
    "module_id",
    "open_update",
    "retry_of",
    "seq",
    "target_firmware_id",
    "update_id",
];

/// Revisions of plugins, wherever a parameter or a property has one of these names.
const DIGESTS: [&str; 2] = ["observation_digest", "revision"];
const DIGEST: &str = "^sha256:[0-9a-fA-F]{64}$";

/// The id of an API key.
const KEY_ID: &str = "^[0-9a-f]{12}$";
/// The vendor of a plugin, and its name within the vendor.
const PLUGIN_NAME_PART: &str = "^[a-z0-9-]{1,64}$";
/// Entity tags of campaigns.
const IF_MATCH: &str = r#"^(\*|"[0-9]+"( *, *"[0-9]+")*)$"#;
/// An update and a line of its log.
const LINE_ID: &str = "^[0-9]+:[0-9]+$";

/// Adds the values of the parameters of an operation.
pub(super) fn describe_parameters(operation: &mut Operation) {
    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(parameter) = parameter {
            describe_parameter(parameter);
        }
    }
}

fn describe_parameter(parameter: &mut Parameter) {
    let Some(schema) = &mut parameter.schema else {
        return;
    };
    without_null(schema);
    let RefOr::T(Schema::Object(object)) = schema else {
        return;
    };
    describe_id(&parameter.name, object);
    match (&parameter.parameter_in, &*parameter.name) {
        (ParameterIn::Query, "limit") => {
            set_range(object, 1, Some(MAX_LIMIT as usize));
            object.default = Some(Value::from(DEFAULT_LIMIT));
        }
        // The database counts with 64-bit signed integers.
        (ParameterIn::Query, "offset") => {
            set_range(object, 0, Some(isize::MAX.unsigned_abs()));
            object.default = Some(Value::from(0));
        }
        (ParameterIn::Query, "q") => object.max_length = Some(MAX_LENGTH),
        (ParameterIn::Query, "sort") => object.pattern = Some(sort_pattern()),
        (ParameterIn::Path, "vendor" | "name") => {
            object.pattern = Some(PLUGIN_NAME_PART.to_owned());
        }
        (ParameterIn::Path, "gate") => {
            object.min_length = Some(1);
            object.max_length = Some(MAX_GATE_NAME);
        }
        (ParameterIn::Header, "If-Match") => object.pattern = Some(IF_MATCH.to_owned()),
        (ParameterIn::Header, "Last-Event-ID") if object.format.is_none() => {
            object.pattern = Some(LINE_ID.to_owned());
        }
        (ParameterIn::Query, "after") | (ParameterIn::Header, "Last-Event-ID") => {
            set_range(object, 0, None);
        }
        _ => {}
    }
}

fn sort_pattern() -> String {
    format!("^({})(:(asc|desc))?$", DeviceSort::VARIANTS.join("|"))
}

/// Adds the values of ids in all schemas.
pub(super) fn describe_ids(components: &mut Components) {
    components.schemas.values_mut().for_each(describe_ids_in);
}

fn describe_ids_in(schema: &mut RefOr<Schema>) {
    let RefOr::T(schema) = schema else {
        return;
    };
    match schema {
        Schema::Object(object) => {
            for (name, property) in &mut object.properties {
                if let RefOr::T(Schema::Object(property)) = property {
                    describe_id(name, property);
                }
                describe_ids_in(property);
            }
        }
        Schema::Array(Array {
            items: ArrayItems::RefOrSchema(item),
            ..
        }) => describe_ids_in(item),
        Schema::OneOf(OneOf { items, .. }) | Schema::AllOf(AllOf { items, .. }) => {
            items.iter_mut().for_each(describe_ids_in);
        }
        _ => {}
    }
}

fn describe_id(name: &str, object: &mut Object) {
    if ROW_IDS.contains(&name) {
        set_range(object, 1, None);
    } else if name == "device_id" {
        object.min_length = Some(1);
        object.max_length = Some(MAX_ID_CHARS);
    } else if name == "key_id" {
        object.pattern = Some(KEY_ID.to_owned());
    } else if DIGESTS.contains(&name) {
        object.pattern = Some(DIGEST.to_owned());
    }
}

/// Without a maximum, the format is the bound.
fn set_range(object: &mut Object, minimum: usize, maximum: Option<usize>) {
    object.minimum = Some(Number::UInt(minimum));
    object.maximum = maximum.map(Number::UInt);
}
