use axum::extract::MatchedPath;

/// The route that matches a request, as metrics and the log name it.
#[derive(Clone)]
pub(crate) enum Route {
    /// One of the device API.
    Device(&'static str),
    Other(Option<MatchedPath>),
}

impl Route {
    /// The template of its paths; `none` if no route matches.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Device(route) => route,
            Self::Other(route) => route.as_ref().map_or("none", MatchedPath::as_str),
        }
    }

    /// The template of the paths of a device request.
    pub(crate) fn of_device(&self) -> Option<&'static str> {
        match self {
            Self::Device(route) => Some(route),
            Self::Other(_) => None,
        }
    }

    pub(crate) fn is_of_device(&self) -> bool {
        matches!(self, Self::Device(_))
    }
}
