use std::borrow::Cow;

use axum::extract::FromRequestParts;
use http::request::Parts;
use percent_encoding::percent_decode_str;
use tidegate_core::id::{ModuleId, UpdateId};

use super::{error::DdiError, params::parse_id};
use crate::AppState;

/// The path of a device's request, still percent-encoded: `/{tenant}/controller/v1/{device}`, and a resource below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DevicePath<'a> {
    pub(super) tenant: &'a str,
    pub(super) device: &'a str,
    /// Empty, or segments that each begin with a slash.
    pub(super) resource: &'a str,
}

impl<'a> DevicePath<'a> {
    pub(super) fn parse(path: &'a str) -> Option<Self> {
        let (tenant, rest) = path.strip_prefix('/')?.split_once('/')?;
        let rest = rest.strip_prefix("controller/v1/")?;
        let (device, resource) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        (!tenant.is_empty() && !device.is_empty()).then_some(Self {
            tenant,
            device,
            resource,
        })
    }

    /// A segment of the resource, decoded. The first one is 0.
    fn segment(&self, index: usize) -> Result<Cow<'a, str>, DdiError> {
        let segment = self.resource.split('/').nth(index + 1);
        decode_segment(segment.ok_or(DdiError::NotFound)?)
    }
}

pub(super) fn decode_segment(segment: &str) -> Result<Cow<'_, str>, DdiError> {
    percent_decode_str(segment)
        .decode_utf8()
        .map_err(|_| DdiError::malformed("the path is not UTF-8"))
}

/// Whether the resource has the form of the pattern, whose segments in braces stand for any segment.
pub(super) fn matches(pattern: &str, resource: &str) -> bool {
    let (mut expected, mut segments) = (pattern.split('/'), resource.split('/'));
    loop {
        match (expected.next(), segments.next()) {
            (None, None) => return true,
            (Some(name), Some(segment)) if name == segment => {}
            (Some(name), Some(segment)) if name.starts_with('{') && !segment.is_empty() => {}
            _ => return false,
        }
    }
}

/// Extracts the update's id from the path.
pub(super) struct UpdateParam(pub(super) UpdateId);

impl FromRequestParts<AppState> for UpdateParam {
    type Rejection = DdiError;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, DdiError> {
        let path = DevicePath::parse(parts.uri.path()).ok_or(DdiError::NotFound)?;
        parse_id(&path.segment(1)?).map(UpdateId).map(Self)
    }
}

/// Extracts the module's id from the path.
pub(super) struct ModuleParam(pub(super) ModuleId);

impl FromRequestParts<AppState> for ModuleParam {
    type Rejection = DdiError;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, DdiError> {
        let path = DevicePath::parse(parts.uri.path()).ok_or(DdiError::NotFound)?;
        parse_id(&path.segment(1)?).map(ModuleId).map(Self)
    }
}

/// Extracts the name of a module's file from the path.
pub(super) struct FilenameParam(pub(super) String);

impl FromRequestParts<AppState> for FilenameParam {
    type Rejection = DdiError;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, DdiError> {
        let path = DevicePath::parse(parts.uri.path()).ok_or(DdiError::NotFound)?;
        Ok(Self(path.segment(3)?.into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_tenant_a_device_and_a_resource() {
        for (path, expected) in [
            ("/t/controller/v1/d", Some(("t", "d", ""))),
            ("/t/controller/v1/d/", Some(("t", "d", "/"))),
            ("/t/controller/v1/d%2F1/a/b", Some(("t", "d%2F1", "/a/b"))),
            (
                "/controller/controller/v1/v1",
                Some(("controller", "v1", "")),
            ),
            ("//controller/v1/d", None),
            ("/t/controller/v1/", None),
            ("/t/controller/v1", None),
            ("/t/controller/v2/d", None),
            ("/api/v1/devices", None),
            ("/health", None),
            ("*", None),
            ("", None),
        ] {
            let parsed = DevicePath::parse(path);
            let parsed = parsed.map(|path| (path.tenant, path.device, path.resource));
            assert_eq!(parsed, expected, "{path}");
        }
    }

    #[test]
    fn a_pattern_matches_segment_by_segment() {
        for (pattern, resource, expected) in [
            ("", "", true),
            ("", "/", false),
            ("/configData", "/configData", true),
            ("/configData", "/configData/", false),
            ("/configData", "/configdata", false),
            ("/cancelAction/{update}", "/cancelAction/7", true),
            ("/cancelAction/{update}", "/cancelAction/", false),
            ("/cancelAction/{update}", "/cancelAction", false),
            ("/cancelAction/{update}", "/cancelAction/7/feedback", false),
        ] {
            assert_eq!(matches(pattern, resource), expected, "{resource}");
        }
    }

    #[test]
    fn segments_are_decoded() {
        let path = DevicePath::parse("/t/controller/v1/d/softwaremodules/4/artifacts/a%20b%2Fc");
        let path = path.expect("a device's path");
        assert_eq!(path.segment(1).ok().as_deref(), Some("4"));
        assert_eq!(path.segment(3).ok().as_deref(), Some("a b/c"));
        assert!(matches!(path.segment(4), Err(DdiError::NotFound)));
        let path = DevicePath::parse("/t/controller/v1/d/x/%ff").expect("a device's path");
        assert!(path.segment(1).is_err());
    }
}
