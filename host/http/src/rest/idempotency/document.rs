use utoipa::openapi::{
    Content, ObjectBuilder, Ref, RefOr, Required, ResponseBuilder, Type,
    path::{Operation, ParameterBuilder, ParameterIn},
};

use super::key::KEY_PATTERN;

const KEY: &str = "A key of the client's own for this one request, such as a UUID: `8e03978e-40d5-43e8-bc93-6894a57f9324`, \
    with or without quotes. If the same request is sent again with it within 24 hours, it is not executed again, but gets \
    the same response, with `Idempotent-Replayed: true`. Uploaded files are not compared.";
const CONFLICT: &str = "The current state does not allow it. With `Idempotency-Key` also: `request_in_progress`, send it \
    again in a moment; `request_interrupted` and `answer_not_kept`, check whether it was executed.";
const INVALID: &str = "The request is invalid. With `Idempotency-Key` also: `idempotency_key_reused`, the key was sent \
    with another request before.";

/// Documents the `Idempotency-Key` header of a `POST` operation and the responses that come with it.
pub(in crate::rest) fn describe(operation: &mut Operation) {
    let text = ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(KEY_PATTERN));
    let parameter = ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(KEY))
        .schema(Some(text))
        .build();
    operation
        .parameters
        .get_or_insert_default()
        .push(parameter.into());
    for (status, description) in [("409", CONFLICT), ("422", INVALID)] {
        let problem = Content::new(Some(Ref::from_schema_name("Problem")));
        let response = ResponseBuilder::new()
            .description(description)
            .content("application/problem+json", problem)
            .build();
        let responses = &mut operation.responses.responses;
        responses
            .entry(status.to_owned())
            .or_insert(RefOr::T(response));
    }
}
