//! Refuses queries that an operation does not read. An operation with query parameters refuses unknown ones itself.

use std::{collections::HashSet, sync::Arc};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::Method;
use utoipa::openapi::{
    OpenApi, RefOr,
    path::{Operation, ParameterIn, PathItem},
};

use super::extract::decode_problem;

/// The operations with query parameters: method and path, such as `/devices/{device_id}/log`.
#[derive(Debug, Clone)]
pub(super) struct QueryOperations(Arc<HashSet<(Method, String)>>);

impl QueryOperations {
    /// The operations of a document.
    pub(super) fn of(document: &OpenApi) -> Self {
        let paths = document.paths.paths.iter();
        let operations = paths.flat_map(|(path, item)| {
            operations(item)
                .into_iter()
                .filter(|(_, operation)| has_query(operation))
                .map(|(method, _)| (method, path.clone()))
        });
        Self(Arc::new(operations.collect()))
    }

    fn contains(&self, method: &Method, matched: &str) -> bool {
        let path = matched.strip_prefix("/api/v1").unwrap_or(matched);
        let method = match *method {
            Method::HEAD => Method::GET,
            ref other => other.clone(),
        };
        self.0.contains(&(method, path.to_owned()))
    }
}

fn operations(item: &PathItem) -> Vec<(Method, &Operation)> {
    [
        (Method::GET, &item.get),
        (Method::PUT, &item.put),
        (Method::POST, &item.post),
        (Method::PATCH, &item.patch),
        (Method::DELETE, &item.delete),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_ref()?)))
    .collect()
}

fn has_query(operation: &Operation) -> bool {
    let parameters = operation.parameters.iter().flatten();
    parameters.into_iter().any(|parameter| {
        matches!(parameter, RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Query)
    })
}

/// 422 with the names of the parameters.
pub(super) async fn refuse_unused_query(
    State(with_query): State<QueryOperations>,
    matched: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let is_read = matched.is_some_and(|path| with_query.contains(request.method(), path.as_str()));
    if query.is_empty() || is_read {
        return next.run(request).await;
    }
    let names = form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name.into_owned());
    decode_problem(Vec::new(), names.collect(), Vec::new()).into_response()
}
