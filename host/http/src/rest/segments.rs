//! Ids in paths.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use serde::de::DeserializeOwned;
use tidegate_engine::Error;

use crate::{
    AppState,
    problem::{Problem, Result},
};

/// The variable segments of a path, as text; what cannot be decoded names nothing.
pub(crate) struct Segments<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<AppState> for Segments<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(segments)) => Ok(Self(segments)),
            Err(_) => Err(Problem::no_route()),
        }
    }
}

/// The id that a segment means. What is no such id names nothing, so it is 404.
pub(crate) fn id<T: FromStr>(what: &'static str, text: &str) -> Result<T> {
    text.parse()
        .map_err(|_| Error::not_found(what, text).into())
}
