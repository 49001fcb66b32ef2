use super::{Caller, record::record};
use crate::{
    Engine,
    ports::{DeviceEvent, RecordError, ReportedFirmware},
};

/// Records which firmware a device reports as installed, by name and version; durable when this returns. Returns
/// whether the report is new.
pub async fn report_installed(
    engine: &Engine,
    caller: &Caller,
    name: String,
    version: String,
) -> Result<bool, RecordError> {
    let firmware = ReportedFirmware { name, version };
    let (_, recorded) = record(engine, caller, DeviceEvent::Installed(firmware)).await?;
    Ok(recorded.is_new_installation)
}
