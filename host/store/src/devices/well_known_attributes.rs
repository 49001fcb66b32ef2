use std::collections::BTreeMap;

use tidegate_core::{device::AttributeNames, version::sort_key};

use crate::dialect::storable;

/// The attributes that the server interprets, as columns of the device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct WellKnownAttributes {
    pub(crate) hw_model: Option<String>,
    pub(crate) hw_revision: Option<String>,
    pub(crate) hw_revision_key: Option<String>,
    pub(crate) sw_version: Option<String>,
    pub(crate) sw_version_key: Option<String>,
}

impl WellKnownAttributes {
    /// Reads them from reported attributes; missing ones are none.
    pub(crate) fn of(names: &AttributeNames, attributes: &BTreeMap<String, String>) -> Self {
        let read =
            |names| AttributeNames::read(names, attributes).map(|text| storable(text).into_owned());
        let hw_revision = read(&names.hw_revision);
        let sw_version = read(&names.sw_version);
        Self {
            hw_model: read(&names.hw_model),
            hw_revision_key: hw_revision.as_deref().map(sort_key),
            hw_revision,
            sw_version_key: sw_version.as_deref().map(sort_key),
            sw_version,
        }
    }
}
