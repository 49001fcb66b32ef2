use clap::Args;
use serde_json::{Value, json};

/// A maintenance window.
#[derive(Debug, Args)]
pub(super) struct Window {
    /// Maintenance window: start times as cron, `0 2 * * SUN`
    #[arg(id = "window", long, value_name = "CRON", requires_all = ["window-duration", "window-timezone"])]
    schedule: Option<String>,
    /// Duration of the window: `02:00:00` or `2h`
    #[arg(id = "window-duration", long, value_name = "TIME", requires = "window")]
    duration: Option<String>,
    /// Time zone of the window: `Europe/Berlin`, or a fixed offset such as `+03:00`
    #[arg(id = "window-timezone", long, value_name = "ZONE", requires = "window")]
    timezone: Option<String>,
    /// Allow devices to download before the window opens
    #[arg(long, requires = "window")]
    prefetch: bool,
}

impl Window {
    /// The REST representation; null without a window.
    pub(super) fn body(&self) -> Value {
        let Some(schedule) = &self.schedule else {
            return Value::Null;
        };
        json!({
            "schedule": schedule,
            "duration": self.duration,
            "timezone": self.timezone,
            "prefetch": self.prefetch,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        window: Window,
    }

    #[test]
    fn a_window_needs_all_of_its_flags() {
        let read = |line: &[&str]| {
            let line = Line::try_parse_from([&["x"], line].concat());
            line.map(|line| line.window.body()).ok()
        };
        let whole = [
            "--window",
            "0 2 * * *",
            "--window-duration",
            "2h",
            "--window-timezone",
            "UTC",
        ];
        let body = json!({"schedule": "0 2 * * *", "duration": "2h", "timezone": "UTC", "prefetch": false});
        assert_eq!(read(&whole), Some(body));
        assert_eq!(read(&[]), Some(Value::Null));
        assert_eq!(read(&whole[..2]), None);
        assert_eq!(read(&whole[..4]), None);
        assert_eq!(read(&["--prefetch"]), None);
    }
}
