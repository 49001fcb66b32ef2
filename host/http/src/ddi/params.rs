use std::str::FromStr;

use axum::extract::{FromRequestParts, Path, Query};
use http::request::Parts;
use serde::Deserialize;
use tidegate_core::id::UpdateId;

use super::refusal::Refusal;
use crate::AppState;

/// Most messages of an update's history.
const MAX_HISTORY: u32 = 100;

/// The update that a path names.
pub(super) struct Update(pub(super) UpdateId);

#[derive(Deserialize)]
struct UpdatePath {
    update: String,
}

impl FromRequestParts<AppState> for Update {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Refusal> {
        let path = Path::<UpdatePath>::from_request_parts(parts, state).await;
        let Path(path) = path.map_err(|error| Refusal::malformed(error.body_text()))?;
        id(&path.update).map(UpdateId).map(Self)
    }
}

/// An id from a path. A number that is too large for one names nothing; what is no number is a mistake.
pub(super) fn id<T: FromStr>(text: &str) -> Result<T, Refusal> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refusal::malformed(format!("{text} is no id")));
    }
    text.parse().map_err(|_| Refusal::NotFound)
}

/// The parameters of a request for an update.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Params {
    /// How many messages of the update's history are wanted.
    pub(super) history: u32,
}

impl FromRequestParts<AppState> for Params {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Refusal> {
        Self::of(&parts.uri)
    }
}

impl Params {
    fn of(uri: &http::Uri) -> Result<Self, Refusal> {
        let query = Query::<Vec<(String, String)>>::try_from_uri(uri);
        let Query(pairs) = query.map_err(|error| Refusal::malformed(error.body_text()))?;
        // `c` only tells addresses apart; it must still be a number.
        number(&pairs, "c")?;
        let history = number(&pairs, "actionHistory")?.unwrap_or(0);
        let history = u32::try_from(history).map_or(MAX_HISTORY, |wanted| wanted.min(MAX_HISTORY));
        Ok(Self { history })
    }
}

fn number(pairs: &[(String, String)], name: &str) -> Result<Option<i32>, Refusal> {
    let pair = pairs.iter().find(|(key, _)| key == name);
    match pair.map(|(_, value)| value.as_str()) {
        None | Some("") => Ok(None),
        Some(value) => match value.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(Refusal::malformed(format!("{name} is no 32-bit integer"))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_integers() {
        for (uri, expected) in [
            ("/x", Some(0)),
            ("/x?c=1", Some(0)),
            ("/x?c=-2147483648", Some(0)),
            ("/x?c=2147483648", None),
            ("/x?c=abc", None),
            ("/x?c=", Some(0)),
            ("/x?actionHistory=", Some(0)),
            ("/x?actionHistory=7&c=3", Some(7)),
            ("/x?actionHistory=100", Some(100)),
            ("/x?actionHistory=1000", Some(100)),
            ("/x?actionHistory=-1", Some(100)),
            ("/x?actionHistory=many", None),
            ("/x?other=1&other=2", Some(0)),
        ] {
            let params = Params::of(&http::Uri::from_static(uri));
            assert_eq!(params.ok().map(|params| params.history), expected, "{uri}");
        }
    }

    #[test]
    fn ids_are_decimal_and_fit() {
        for (text, expected) in [
            ("8", Ok(8)),
            ("2147483647", Ok(i32::MAX)),
            ("2147483648", Err(404)),
            ("-1", Ok(-1)),
            ("+1", Err(400)),
            ("0x8", Err(400)),
            ("", Err(400)),
        ] {
            let id: Result<i32, _> = id(text);
            let id = id.map_err(|refusal| match refusal {
                Refusal::NotFound => 404,
                _ => 400,
            });
            assert_eq!(id, expected, "{text}");
        }
    }
}
