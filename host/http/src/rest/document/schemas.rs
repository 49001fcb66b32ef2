//! Corrections of the schemas that utoipa's derive makes.

use std::collections::BTreeMap;

use utoipa::openapi::{
    Components, Ref, RefOr,
    schema::{AdditionalProperties, AllOf, ArrayItems, Object, OneOf, Schema, SchemaType, Type},
};

const SCHEMAS: &str = "#/components/schemas/";

/// The derive copies the schema of an item into each list. A list refers to it instead, so that it is one type.
pub(super) fn refer_to_items(components: &mut Components) {
    let mut items = BTreeMap::new();
    for (list, schema) in &mut components.schemas {
        let Some(name) = list.strip_prefix("List_") else {
            continue;
        };
        if let RefOr::T(Schema::Object(object)) = schema
            && let Some(RefOr::T(Schema::Array(array))) = object.properties.get_mut("items")
        {
            let reference = Box::new(Ref::from_schema_name(name).into());
            let item = std::mem::replace(&mut array.items, ArrayItems::RefOrSchema(reference));
            if let ArrayItems::RefOrSchema(item) = item {
                items.insert(name.to_owned(), *item);
            }
        }
    }
    for (name, item) in items {
        components.schemas.entry(name).or_insert(item);
    }
}

/// `allOf` cannot extend an object without further properties: no value fits both. Such an object becomes a whole one.
pub(super) fn merge_closed_objects(components: &mut Components) {
    let all = components.schemas.clone();
    for schema in components.schemas.values_mut() {
        if let RefOr::T(Schema::AllOf(parts)) = schema
            && let Some(object) = merged(parts, &all)
        {
            *schema = object.into();
        }
    }
}

/// One object with the properties of all parts; none if each part allows further ones.
fn merged(parts: &AllOf, all: &BTreeMap<String, RefOr<Schema>>) -> Option<Object> {
    let objects: Option<Vec<_>> = parts.items.iter().map(|part| object(part, all)).collect();
    let objects = objects?;
    objects.iter().find(|object| is_closed(object))?;
    let mut whole = Object::with_type(Type::Object);
    whole.description.clone_from(&parts.description);
    for part in objects {
        whole.properties.extend(part.properties.clone());
        whole.required.extend(part.required.iter().cloned());
    }
    Some(whole)
}

fn object<'a>(
    schema: &'a RefOr<Schema>,
    all: &'a BTreeMap<String, RefOr<Schema>>,
) -> Option<&'a Object> {
    let schema = match schema {
        RefOr::Ref(reference) => all.get(reference.ref_location.strip_prefix(SCHEMAS)?)?,
        schema @ RefOr::T(_) => schema,
    };
    match schema {
        RefOr::T(Schema::Object(object)) => Some(object),
        _ => None,
    }
}

fn is_closed(object: &Object) -> bool {
    matches!(
        object.additional_properties.as_deref(),
        Some(AdditionalProperties::FreeForm(false))
    )
}

/// The same schema for values that are never null: the derive makes every `Option` nullable, also a parameter or a body
/// that can only be left out.
pub(super) fn without_null(schema: &mut RefOr<Schema>) {
    match schema {
        RefOr::T(Schema::Object(object)) => {
            if let SchemaType::Array(kinds) = &mut object.schema_type {
                kinds.retain(|kind| *kind != Type::Null);
                if let [kind] = &kinds[..] {
                    object.schema_type = SchemaType::Type(kind.clone());
                }
            }
        }
        RefOr::T(Schema::OneOf(OneOf { items, .. })) => {
            items.retain(|item| !is_null(item));
            if let [item] = &items[..] {
                *schema = item.clone();
            }
        }
        _ => {}
    }
}

fn is_null(schema: &RefOr<Schema>) -> bool {
    matches!(schema, RefOr::T(Schema::Object(object)) if object.schema_type == SchemaType::Type(Type::Null))
}
