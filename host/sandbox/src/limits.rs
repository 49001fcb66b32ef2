//! Limits of plugins, and the ceilings up to which operators can raise them.

use std::time::Duration;

use tidegate_engine::ports::CallLimits;

use crate::fuel_costs::FUEL_COSTS;

/// Core instances per call. Python needs 26.
pub(crate) const MAX_INSTANCES: u32 = 64;
/// Linear memories per call.
pub(crate) const MAX_MEMORIES: u32 = 16;
/// Tables per call.
pub(crate) const MAX_TABLES: u32 = 64;
/// Elements per table.
pub(crate) const MAX_TABLE_ELEMENTS: usize = 20_000;
/// Maximum memory per call that an operator can allow, in bytes.
pub(crate) const MAX_MEMORY_BYTES: u64 = 256 << 20;
/// Bytes of log lines per call.
pub(crate) const MAX_LOG_BYTES: usize = 16 << 10;
/// Bytes of a config.
pub(crate) const MAX_CONFIG_BYTES: usize = 256 << 10;

/// Bytes of a config schema.
pub(crate) const MAX_SCHEMA_BYTES: usize = 64 << 10;

/// Bytes of a reason, and of other texts of one sentence.
pub(crate) const MAX_REASON_BYTES: usize = 1 << 10;

/// Truncates a text to a number of bytes, at a character boundary.
pub(crate) fn truncate(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// Limits of the sandbox. The defaults are ample for every supported language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxLimits {
    /// Maximum size of a component, in bytes.
    pub component_bytes: u64,
    /// CPU time to compile a component of up to 4 MiB, in the child process; whole seconds. A larger one has more in
    /// proportion, up to a minute.
    pub compile_cpu: Duration,
    /// Address space of that process, in bytes.
    pub compile_memory_bytes: u64,
    /// CPU time to check a config against a plugin's schema, in the child process; whole seconds.
    pub config_check_cpu: Duration,
    /// Wall time of such a check. The CPU time normally ends a check first.
    pub config_check_deadline: Duration,
    /// Memory per call, in bytes, summed over all its memories.
    pub memory_bytes: u64,
    /// Fuel of `describe`, `validate`, `wants`, `decide` and `evaluate`, and base fuel of `check`.
    pub fuel: u64,
    /// Additional fuel of `check` per device class.
    pub fuel_per_class: u64,
    /// Base fuel of `plan` and `assign`.
    pub planning_fuel: u64,
    /// Additional fuel of `plan` and `assign` per device.
    pub planning_fuel_per_device: u64,
    /// Processor time of `describe`, `validate`, `wants`, `decide` and `evaluate`, and a tenth of their time by the clock.
    /// Fuel normally ends a call first.
    pub deadline: Duration,
    /// The same of `plan`, `assign` and `check`. Calls with more fuel than can be used in it have more.
    pub planning_deadline: Duration,
    /// Base size of a call's output, in bytes.
    pub answer_bytes: u64,
    /// Additional size per device of a plan or row of an assignment, in bytes.
    pub answer_bytes_per_device: u64,
    /// Concurrent decisions; others wait. In addition, half as many planning calls and a quarter as many interactive
    /// calls can run, two of each at least. A tenant can use half of each.
    pub calls_at_once: usize,
}

/// Twice what a unit of fuel costs at most, as the default deadline has for each unit of the default fuel.
const DEADLINE_NANOS_PER_FUEL: u64 = 5;
/// Maximum fuel of `plan` and `assign`, for any number of devices.
const MAX_PLANNING_FUEL: u64 = 10_000_000_000;
/// Maximum size of an output, for any number of devices.
const MAX_ANSWER_BYTES: u64 = 64 << 20;
/// Maximum CPU time to compile a component, of any size, in seconds.
const MAX_COMPILE_SECONDS: u64 = 60;
/// Size of a component up to which `compile_cpu` is its CPU time, in bytes.
const COMPILE_CPU_BYTES: u64 = 4 << 20;

impl Default for SandboxLimits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            component_bytes: 4 << 20,
            compile_cpu: Duration::from_secs(20),
            compile_memory_bytes: 2 << 30,
            config_check_cpu: Duration::from_secs(1),
            config_check_deadline: Duration::from_secs(10),
            memory_bytes: 64 << 20,
            fuel: 50_000_000,
            fuel_per_class: 50_000,
            planning_fuel: 100_000_000,
            planning_fuel_per_device: 5_000,
            deadline: Duration::from_millis(250),
            planning_deadline: Duration::from_secs(5),
            answer_bytes: 1 << 20,
            answer_bytes_per_device: 8,
            calls_at_once: (2 * cores).min(64),
        }
    }
}

/// A limit outside its allowed range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} {}", self.reason())]
pub struct InvalidLimit {
    name: &'static str,
    value: u128,
    min: u128,
    max: u128,
}

impl InvalidLimit {
    /// The name of the field in [`SandboxLimits`].
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The value and the allowed range, phrased to follow the name of the setting.
    pub fn reason(&self) -> String {
        let unit = match self.name {
            "compile_cpu" | "config_check_cpu" => " seconds",
            "deadline" | "planning_deadline" | "config_check_deadline" => " milliseconds",
            _ => "",
        };
        let (value, min, max) = (self.value, self.min, self.max);
        format!("is {value}{unit}, and must be between {min} and {max}")
    }
}

impl SandboxLimits {
    /// Bytes of a config schema, which no setting changes.
    pub const SCHEMA_BYTES: u64 = MAX_SCHEMA_BYTES as u64;

    /// Checks every limit against its range.
    pub fn validate(&self) -> Result<(), InvalidLimit> {
        let seconds = |duration: Duration| u128::from(duration.as_secs());
        let millis = |duration: Duration| duration.as_millis();
        for (name, value, min, max) in [
            ("component_bytes", self.component_bytes.into(), 1, 32 << 20),
            (
                "compile_cpu",
                seconds(self.compile_cpu),
                1,
                MAX_COMPILE_SECONDS.into(),
            ),
            (
                "compile_memory_bytes",
                self.compile_memory_bytes.into(),
                256 << 20,
                2 << 30,
            ),
            ("config_check_cpu", seconds(self.config_check_cpu), 1, 60),
            (
                "config_check_deadline",
                millis(self.config_check_deadline),
                10,
                60_000,
            ),
            (
                "memory_bytes",
                self.memory_bytes.into(),
                64 << 10,
                MAX_MEMORY_BYTES.into(),
            ),
            ("fuel", self.fuel.into(), 1, 1_000_000_000),
            ("fuel_per_class", self.fuel_per_class.into(), 0, 10_000_000),
            (
                "planning_fuel",
                self.planning_fuel.into(),
                1,
                MAX_PLANNING_FUEL.into(),
            ),
            (
                "planning_fuel_per_device",
                self.planning_fuel_per_device.into(),
                0,
                MAX_PLANNING_FUEL.into(),
            ),
            ("deadline", millis(self.deadline), 10, 5_000),
            (
                "planning_deadline",
                millis(self.planning_deadline),
                10,
                30_000,
            ),
            (
                "answer_bytes",
                self.answer_bytes.into(),
                1,
                MAX_ANSWER_BYTES.into(),
            ),
            (
                "answer_bytes_per_device",
                self.answer_bytes_per_device.into(),
                0,
                MAX_ANSWER_BYTES.into(),
            ),
            ("calls_at_once", self.calls_at_once as u128, 1, 64),
        ] {
            if !(min..=max).contains(&value) {
                return Err(InvalidLimit {
                    name,
                    value,
                    min,
                    max,
                });
            }
        }
        Ok(())
    }

    /// CPU time to compile a component of this size, whole seconds. An interpreter with its libraries is large, and no
    /// harder to compile than small plugins of the same size together.
    pub(crate) fn compile_cpu_of(&self, component_bytes: u64) -> Duration {
        let seconds = self.compile_cpu.as_secs();
        let scaled = seconds.saturating_mul(component_bytes) / COMPILE_CPU_BYTES;
        Duration::from_secs(scaled.min(MAX_COMPILE_SECONDS).max(seconds))
    }

    /// The budget of a call that does not depend on the number of devices.
    pub(crate) fn call_budget(&self) -> Budget {
        Budget {
            fuel: self.fuel,
            deadline: self.deadline,
            memory_bytes: self.memory_bytes,
            answer_bytes: self.answer_bytes,
        }
    }

    /// The budget of a call that checks a number of device classes.
    pub(crate) fn check_budget(&self, classes: u64) -> Budget {
        let fuel = self.fuel_per_class.saturating_mul(classes);
        let fuel = self.fuel.saturating_add(fuel).min(MAX_PLANNING_FUEL);
        Budget {
            fuel,
            deadline: self.planning_deadline_of(fuel),
            ..self.call_budget()
        }
    }

    /// At least twice the time that the fuel takes at worst, so that fuel ends a call before its deadline does.
    fn planning_deadline_of(&self, fuel: u64) -> Duration {
        let needed = Duration::from_nanos(fuel.saturating_mul(DEADLINE_NANOS_PER_FUEL));
        self.planning_deadline.max(needed)
    }

    /// The budget of a call that plans for a number of devices.
    pub(crate) fn planning_budget(&self, devices: u64) -> Budget {
        let scaled = |base: u64, per_device: u64, max: u64| {
            base.saturating_add(per_device.saturating_mul(devices))
                .min(max)
        };
        let fuel = scaled(
            self.planning_fuel,
            self.planning_fuel_per_device,
            MAX_PLANNING_FUEL,
        );
        Budget {
            fuel,
            deadline: self.planning_deadline_of(fuel),
            memory_bytes: self.memory_bytes,
            answer_bytes: scaled(
                self.answer_bytes,
                self.answer_bytes_per_device,
                MAX_ANSWER_BYTES,
            ),
        }
    }
}

/// The limits of one call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    pub(crate) fuel: u64,
    pub(crate) deadline: Duration,
    pub(crate) memory_bytes: u64,
    pub(crate) answer_bytes: u64,
}

impl Budget {
    /// The limits that can change the answer of a call.
    pub(crate) fn call_limits(self) -> CallLimits {
        CallLimits {
            fuel: self.fuel,
            fuel_costs: FUEL_COSTS,
            memory_bytes: self.memory_bytes,
            answer_bytes: self.answer_bytes,
        }
    }

    /// With the limits of a recorded call, but not its fuel if that was counted by other costs. The deadline depends on the
    /// machine, not on the call.
    pub(crate) fn with_call_limits(self, limits: CallLimits) -> Self {
        Self {
            fuel: if limits.fuel_costs == FUEL_COSTS {
                limits.fuel
            } else {
                self.fuel
            },
            memory_bytes: limits.memory_bytes,
            answer_bytes: limits.answer_bytes,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_allowed_and_the_ceilings_hold() {
        assert_eq!(SandboxLimits::default().validate(), Ok(()));
        let changed = |change: fn(&mut SandboxLimits)| {
            let mut limits = SandboxLimits::default();
            change(&mut limits);
            limits.validate().map_err(|error| error.name())
        };
        assert_eq!(changed(|l| l.fuel = 1_000_000_000), Ok(()));
        assert_eq!(changed(|l| l.fuel = 1_000_000_001), Err("fuel"));
        assert_eq!(changed(|l| l.memory_bytes = 257 << 20), Err("memory_bytes"));
        assert_eq!(changed(|l| l.calls_at_once = 0), Err("calls_at_once"));
        assert_eq!(
            changed(|l| l.compile_cpu = Duration::from_secs(61)),
            Err("compile_cpu")
        );
    }

    #[test]
    fn the_time_to_compile_grows_with_the_component_up_to_the_ceiling() {
        let limits = SandboxLimits::default();
        let seconds = |limits: &SandboxLimits, mib: u64| limits.compile_cpu_of(mib << 20).as_secs();
        for (mib, expected) in [(0, 20), (1, 20), (4, 20), (6, 30), (12, 60), (1 << 40, 60)] {
            assert_eq!(seconds(&limits, mib), expected, "{mib} MiB");
        }
        let short = SandboxLimits {
            compile_cpu: Duration::from_secs(1),
            ..limits
        };
        assert_eq!(seconds(&short, 18), 4);
    }

    #[test]
    fn budgets_grow_with_devices_up_to_the_ceiling() {
        let limits = SandboxLimits::default();
        assert_eq!(limits.check_budget(1_000).fuel, 100_000_000);
        assert_eq!(limits.check_budget(u64::MAX).fuel, MAX_PLANNING_FUEL);
        assert_eq!(limits.planning_budget(1_000).fuel, 105_000_000);
        assert_eq!(limits.planning_budget(u64::MAX).fuel, MAX_PLANNING_FUEL);
        assert_eq!(
            limits.planning_budget(1_000_000).answer_bytes,
            (1 << 20) + 8_000_000
        );
        let millis = |budget: Budget| budget.deadline.as_millis();
        assert_eq!(millis(limits.check_budget(1_000)), 5_000);
        assert_eq!(millis(limits.planning_budget(1_000)), 5_000);
        assert_eq!(millis(limits.planning_budget(1_000_000)), 25_500);
        assert_eq!(millis(limits.planning_budget(u64::MAX)), 50_000);
        assert_eq!(
            limits.planning_budget(u64::MAX).answer_bytes,
            MAX_ANSWER_BYTES
        );
    }
}
