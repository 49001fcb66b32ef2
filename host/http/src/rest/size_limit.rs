use http::StatusCode;

use crate::problem::Problem;

/// The maximum size of a body or of a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SizeLimit {
    pub(crate) bytes: usize,
    /// The setting that changes the limit.
    setting: Option<&'static str>,
}

impl SizeLimit {
    /// A limit that no setting changes.
    pub(crate) fn fixed(bytes: usize) -> Self {
        Self {
            bytes,
            setting: None,
        }
    }

    /// A limit that this setting of the server's configuration changes.
    pub(crate) fn configured(bytes: usize, setting: &'static str) -> Self {
        Self {
            bytes,
            setting: Some(setting),
        }
    }

    /// 413, with the limit and its setting.
    pub(crate) fn exceeded(self) -> Problem {
        let Self { bytes, setting } = self;
        let setting = setting.map_or_else(String::new, |setting| {
            format!("; the server's setting `{setting}` is the limit")
        });
        let detail = format!("the body is larger than {bytes} bytes{setting}");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
    }
}
