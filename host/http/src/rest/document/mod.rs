//! The OpenAPI document.

mod schemas;
mod values;

use utoipa::{
    OpenApi,
    openapi::{
        Components, Content, HeaderBuilder, Object, ObjectBuilder, Ref, RefOr, Required,
        ResponseBuilder, Type,
        path::{Operation, ParameterBuilder, ParameterIn, PathItem},
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use self::{
    schemas::{merge_closed_objects, refer_to_items, without_null},
    values::{describe_ids, describe_parameters},
};
use super::{deny_unknown::deny_unknown_fields, idempotency};
use crate::{problem::ProblemBody, request_id::MAX_ID_BYTES};

/// The parts of the document that concern the API as a whole.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tidegate",
        description = "Rolls software out to fleets of devices. Every error is `application/problem+json` with a \
            stable `code`. A request that is rejected changes nothing. Times are RFC 3339 in UTC.",
        license(name = "MIT OR Apache-2.0")
    ),
    components(schemas(ProblemBody)),
    security(("api_key" = []), ("bearer" = []))
)]
pub(super) struct ApiDocument;

const REQUEST_ID: &str = "The request's name in the server's log and audit trail: one that the client chooses, of visible \
    ASCII characters. Another value, or none, is replaced by an id that the server makes.";
const RESPONSE_ID: &str = "The request's id: the client's, or the one that the server has made.";
const X_REQUEST_ID: &str = "X-Request-Id";
const LOCATION: &str = "Location";
const VISIBLE_ASCII: &str = "^[!-~]+$";

/// Adds what all operations share: authentication, request ids, error responses, and the rejection of unknown fields.
pub(super) fn add_common_parts(document: &mut utoipa::openapi::OpenApi) {
    refer_to_items(document.components.get_or_insert_default());
    deny_unknown_fields(document);
    let components = document.components.get_or_insert_default();
    merge_closed_objects(components);
    describe_ids(components);
    let key = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key")));
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .build();
    components.add_security_scheme("api_key", key);
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    add_request_id(components);
    add_location(components);
    for item in document.paths.paths.values_mut() {
        for operation in operations_mut(item) {
            describe_parameters(operation);
            describe_body(operation);
            refer_to_location(operation);
            operation
                .responses
                .responses
                .insert("default".to_owned(), error_response());
        }
        // Idempotency keys belong to an authenticated caller.
        if let Some(post) = item.post.as_mut().filter(|post| post.security.is_none()) {
            idempotency::describe(post);
        }
        operations_mut(item).for_each(refer_to_request_id);
    }
}

/// Documents the header of responses to what created something.
fn add_location(components: &mut Components) {
    let path = ObjectBuilder::new().schema_type(Type::String);
    let header = HeaderBuilder::new()
        .schema(Some(path))
        .description(Some("The path of what was created."))
        .build();
    let headers = &mut components.headers;
    headers.insert(LOCATION.to_owned(), header.into());
}

fn refer_to_location(operation: &mut Operation) {
    if let Some(RefOr::T(response)) = operation.responses.responses.get_mut("201") {
        let header = Ref::new(format!("#/components/headers/{LOCATION}"));
        response
            .headers
            .insert(LOCATION.to_owned(), RefOr::Ref(header));
    }
}

/// A body that may be left out is never `null`.
fn describe_body(operation: &mut Operation) {
    let Some(RefOr::T(body)) = &mut operation.request_body else {
        return;
    };
    body.required.get_or_insert(Required::False);
    for content in body.content.values_mut() {
        if let RefOr::T(Content {
            schema: Some(schema),
            ..
        }) = content
        {
            without_null(schema);
        }
    }
}

/// Adds the header of requests and the one of responses.
fn add_request_id(components: &mut Components) {
    let parameter = ParameterBuilder::new()
        .name(X_REQUEST_ID)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(REQUEST_ID))
        .schema(Some(request_id_schema()))
        .build();
    let header = HeaderBuilder::new()
        .schema(Some(request_id_schema()))
        .description(Some(RESPONSE_ID))
        .build();
    let parameters = &mut components.parameters;
    parameters.insert(X_REQUEST_ID.to_owned(), parameter.into());
    let headers = &mut components.headers;
    headers.insert(X_REQUEST_ID.to_owned(), header.into());
}

fn request_id_schema() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(MAX_ID_BYTES))
        .pattern(Some(VISIBLE_ASCII))
        .build()
}

/// Documents the header of the operation's request and of all its responses.
fn refer_to_request_id(operation: &mut Operation) {
    let parameter = Ref::new(format!("#/components/parameters/{X_REQUEST_ID}"));
    let parameters = operation.parameters.get_or_insert_default();
    parameters.push(RefOr::Ref(parameter));
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            let header = Ref::new(format!("#/components/headers/{X_REQUEST_ID}"));
            let headers = &mut response.headers;
            headers.insert(X_REQUEST_ID.to_owned(), RefOr::Ref(header));
        }
    }
}

fn error_response() -> RefOr<utoipa::openapi::Response> {
    let problem = Content::new(Some(Ref::from_schema_name("Problem")));
    let response =
        ResponseBuilder::new().description("An error. A request that is rejected changes nothing.");
    RefOr::T(
        response
            .content("application/problem+json", problem)
            .build(),
    )
}

fn operations_mut(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut item.get,
        &mut item.put,
        &mut item.post,
        &mut item.delete,
        &mut item.patch,
    ]
    .into_iter()
    .filter_map(Option::as_mut)
}
