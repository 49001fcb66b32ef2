use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tidegate_core::{
    plugin::FieldError,
    window::{MaintenanceWindow, WindowSpec},
};
use utoipa::ToSchema;

use super::TimeOfDay;

/// When an update may be installed. Outside the window it is not offered to devices and does not time out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = MaintenanceWindow)]
pub(crate) struct WindowBody {
    /// When the window opens: cron with five fields, or with six or seven as in Quartz (`0 0 2 ? * SUN`).
    #[schema(examples("0 2 * * SUN"))]
    schedule: String,
    /// How long it stays open: `00:01:00` to `168:00:00`. It must be long enough to download, install and restart.
    duration: TimeOfDay,
    /// The time zone of the schedule: an IANA name, or a fixed offset such as `+03:00`.
    #[schema(examples("Europe/Berlin"))]
    timezone: String,
    /// Whether devices may download the files before the window opens.
    #[serde(default)]
    prefetch: bool,
}

impl WindowBody {
    /// Converts to a window and adds what is invalid to `errors`, with paths below `root`.
    pub(crate) fn to_window(
        &self,
        root: &str,
        errors: &mut Vec<FieldError>,
    ) -> Option<Arc<MaintenanceWindow>> {
        let window = MaintenanceWindow::new(WindowSpec {
            schedule: self.schedule.clone(),
            duration: self.duration.0,
            timezone: self.timezone.clone(),
            prefetch: self.prefetch,
        });
        match window {
            Ok(window) => Some(Arc::new(window)),
            Err(found) => {
                errors.extend(found.into_iter().map(|error| FieldError {
                    path: format!("{root}/{}", error.path),
                    message: error.message,
                }));
                None
            }
        }
    }
}

impl From<&MaintenanceWindow> for WindowBody {
    fn from(window: &MaintenanceWindow) -> Self {
        let spec = window.spec().clone();
        Self {
            schedule: spec.schedule,
            duration: TimeOfDay(spec.duration),
            timezone: spec.timezone,
            prefetch: spec.prefetch,
        }
    }
}
