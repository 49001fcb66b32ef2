use axum::response::Response;
use http::{
    HeaderValue,
    header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS},
};

/// A response whose own headers say how it may be stored and read: a file.
#[derive(Clone, Copy)]
pub(crate) struct OwnCacheHeaders;

/// Other responses are not to be stored, and their type is not to be guessed. The values are static, and the headers of
/// a poll fit the map that it has anyway.
pub(crate) fn set_default_headers(response: &mut Response) {
    if response.extensions().get::<OwnCacheHeaders>().is_some() {
        return;
    }
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}
