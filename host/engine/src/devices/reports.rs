use std::collections::BTreeMap;

use tidegate_core::{
    device::{AttributeMode, InvalidAttribute, check_attribute},
    log::{LogSource, lines},
};

use super::{Caller, caller_view::caller_view, record::record};
use crate::{
    Engine, Error, Result,
    ports::{
        DeviceEvent, DeviceReport, RecordError, ReportedAttributes, ReportedFirmware, ReportedLines,
    },
};

/// Records the attributes that a device reports; durable when this returns. `None` removes a key. An unknown device is
/// not registered.
pub async fn report_attributes(
    caller: &Caller,
    engine: &Engine,
    mode: AttributeMode,
    data: BTreeMap<String, Option<String>>,
) -> Result<()> {
    check(&data)?;
    let Some(view) = caller_view(engine, caller).await? else {
        return Err(Error::not_found("device", &caller.device_id));
    };
    let at = engine.now();
    engine
        .caches
        .last_seen
        .record(caller.last_seen(view.device, at));
    let attributes = ReportedAttributes {
        mode,
        data,
        names: engine.settings.attribute_names.clone(),
    };
    let report = DeviceReport {
        tenant: caller.tenant,
        device: view.device,
        by: None,
        read_at: None,
        at,
        event: DeviceEvent::Attributes(attributes),
    };
    let recording = engine.update_writer.report(&caller.device_id, report);
    caller.wait.bound(recording).await?;
    Ok(())
}

/// Records which firmware a device reports as installed, by name and version; durable when this returns. Returns
/// whether the report is new.
pub async fn report_installed(
    caller: &Caller,
    engine: &Engine,
    name: String,
    version: String,
) -> std::result::Result<bool, RecordError> {
    let firmware = ReportedFirmware { name, version };
    let (_, recorded) = record(engine, caller, DeviceEvent::Installed(firmware)).await?;
    Ok(recorded.is_new_installation)
}

/// Appends lines to the log of the device's open update; durable when this returns.
pub async fn report_log(
    caller: &Caller,
    engine: &Engine,
    text: &str,
) -> std::result::Result<(), RecordError> {
    let lines = ReportedLines {
        update: None,
        source: LogSource::Device,
        lines: lines(text),
    };
    let (device, _) = record(engine, caller, DeviceEvent::Log(lines)).await?;
    engine.signals.notify_log_watchers(device);
    Ok(())
}

fn check(data: &BTreeMap<String, Option<String>>) -> Result<()> {
    let refuse = |message: String| Err(Error::invalid("invalid_attributes", "data", message));
    if data.is_empty() {
        return refuse("must contain at least one attribute".to_owned());
    }
    for (key, value) in data {
        if let Err(error) = check_attribute(key, value.as_deref()) {
            return refuse(match error {
                InvalidAttribute::Key => error.to_string(),
                InvalidAttribute::Value => format!("{key}: {error}"),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_short_texts() {
        for (key, value, good) in [
            ("hw_model", Some("rpi 4 (rev. 1.2)"), true),
            ("gone", None, true),
            ("empty", Some(""), true),
            ("lines", Some("a\r\n\tb"), true),
            ("", Some("x"), false),
            ("umlaut", Some("ä"), true),
            ("tilde", Some("~"), true),
            ("zero", Some("\0"), false),
            ("long", Some(&*"x".repeat(128)), true),
            ("longer", Some(&*"x".repeat(129)), false),
            (&*"k".repeat(129), Some("x"), false),
        ] {
            let data = BTreeMap::from([(key.to_owned(), value.map(str::to_owned))]);
            assert_eq!(check(&data).is_ok(), good, "{key} {value:?}");
        }
        assert!(check(&BTreeMap::new()).is_err());
    }
}
