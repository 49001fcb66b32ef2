use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tidegate_core::{
    plugin::FieldError,
    window::{MaintenanceWindow, WindowSpec},
};
use utoipa::ToSchema;

use super::time_of_day::TimeOfDay;

/// When an update may be installed. Outside it, devices are not offered it, and are not late.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = MaintenanceWindow)]
pub(crate) struct WindowBody {
    /// When it opens: cron with five fields, or with six or seven as Quartz has them (`0 0 2 ? * SUN`).
    #[schema(examples("0 2 * * SUN"))]
    schedule: String,
    /// How long it is open: `00:01:00` to `168:00:00`, long enough to download, to install and to restart.
    duration: TimeOfDay,
    /// Whose clock the schedule goes by, an IANA name.
    #[schema(examples("Europe/Berlin"))]
    timezone: String,
    /// Whether devices may fetch the files before it opens.
    #[serde(default)]
    prefetch: bool,
}

impl WindowBody {
    /// The window that is meant; what is wrong with it is added to the errors, below `root`.
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
                    path: format!("{root}{}", error.path),
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
