//! The OpenAPI document.

use utoipa::{
    OpenApi,
    openapi::{
        Content, Ref, RefOr, ResponseBuilder,
        path::{Operation, PathItem},
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::{deny_unknown::deny_unknown_fields, idempotency};
use crate::problem::ProblemBody;

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

/// Adds what all operations share: authentication, error responses, and the rejection of unknown fields.
pub(super) fn add_common_parts(document: &mut utoipa::openapi::OpenApi) {
    deny_unknown_fields(document);
    let components = document.components.get_or_insert_default();
    let key = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key")));
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .build();
    components.add_security_scheme("api_key", key);
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    for item in document.paths.paths.values_mut() {
        for operation in operations_mut(item) {
            operation
                .responses
                .responses
                .insert("default".to_owned(), error_response());
        }
        // Idempotency keys belong to an authenticated caller.
        if let Some(post) = item.post.as_mut().filter(|post| post.security.is_none()) {
            idempotency::describe(post);
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
