//! How much a plugin may take, and how far an operator can raise it.

use std::time::Duration;

/// Core instances of one call: Python needs 26.
pub(crate) const MAX_INSTANCES: u32 = 64;
/// Linear memories of one call.
pub(crate) const MAX_MEMORIES: u32 = 16;
/// Tables of one call.
pub(crate) const MAX_TABLES: u32 = 64;
/// Elements of one table.
pub(crate) const MAX_TABLE_ELEMENTS: usize = 20_000;
/// Bytes of lines that `log` keeps for one call.
pub(crate) const MAX_LOG_BYTES: usize = 16 << 10;
/// Bytes of a config.
pub(crate) const MAX_CONFIG_BYTES: usize = 256 << 10;

/// Limits of the sandbox. The defaults fit every supported language with room to spare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxLimits {
    /// Bytes of a component.
    pub component_bytes: u64,
    /// CPU time of compiling one, in the child process; whole seconds.
    pub compile_cpu: Duration,
    /// Bytes of that process's address space.
    pub compile_memory_bytes: u64,
    /// Bytes of memory for a call, the sum over all its memories.
    pub memory_bytes: u64,
    /// Fuel of `describe`, `validate`, `decide`, `evaluate` and `check`.
    pub fuel: u64,
    /// Fuel of `plan` and `assign`, before what each device adds.
    pub planning_fuel: u64,
    /// Fuel that each device adds to `plan` and `assign`.
    pub planning_fuel_per_device: u64,
    /// Wall time of `describe`, `validate`, `decide`, `evaluate` and `check`. A backstop: fuel should end a call first.
    pub deadline: Duration,
    /// Wall time of `plan` and `assign`.
    pub planning_deadline: Duration,
    /// Bytes of an answer, before what each device adds.
    pub answer_bytes: u64,
    /// Bytes that each device of a plan or a row of an assignment adds.
    pub answer_bytes_per_device: u64,
    /// Decisions that run at once; the others wait. Half as many plans run beside them, and a quarter as many calls for
    /// people.
    pub calls_at_once: usize,
}

/// The most that `plan` and `assign` may burn, however many devices there are.
const MAX_PLANNING_FUEL: u64 = 10_000_000_000;
/// The longest answer, however many devices there are.
const MAX_ANSWER_BYTES: u64 = 64 << 20;

impl Default for SandboxLimits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            component_bytes: 4 << 20,
            compile_cpu: Duration::from_secs(20),
            compile_memory_bytes: 2 << 30,
            memory_bytes: 64 << 20,
            fuel: 50_000_000,
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

/// A limit outside what an operator can set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} {}", self.reason())]
pub struct InvalidLimit {
    name: &'static str,
    value: u128,
    min: u128,
    max: u128,
}

impl InvalidLimit {
    /// Its name among [`SandboxLimits`].
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What it is, and what it may be, to follow its name in a sentence.
    pub fn reason(&self) -> String {
        let unit = match self.name {
            "compile_cpu" => " seconds",
            "deadline" | "planning_deadline" => " milliseconds",
            _ => "",
        };
        let (value, min, max) = (self.value, self.min, self.max);
        format!("is {value}{unit}, and must be between {min} and {max}")
    }
}

impl SandboxLimits {
    /// Checks every limit against its ceiling.
    pub fn validate(&self) -> Result<(), InvalidLimit> {
        let seconds = |duration: Duration| u128::from(duration.as_secs());
        let millis = |duration: Duration| duration.as_millis();
        for (name, value, min, max) in [
            ("component_bytes", self.component_bytes.into(), 1, 32 << 20),
            ("compile_cpu", seconds(self.compile_cpu), 1, 60),
            (
                "compile_memory_bytes",
                self.compile_memory_bytes.into(),
                256 << 20,
                2 << 30,
            ),
            (
                "memory_bytes",
                self.memory_bytes.into(),
                64 << 10,
                256 << 20,
            ),
            ("fuel", self.fuel.into(), 1, 1_000_000_000),
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
            ("deadline", millis(self.deadline), 10, 2_000),
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

    /// What a call may take that concerns no devices one by one.
    pub(crate) fn call_budget(&self) -> Budget {
        Budget {
            fuel: self.fuel,
            deadline: self.deadline,
            memory_bytes: self.memory_bytes,
            answer_bytes: self.answer_bytes,
        }
    }

    /// What a call may take that plans for so many devices.
    pub(crate) fn planning_budget(&self, devices: u64) -> Budget {
        let scaled = |base: u64, per_device: u64, max: u64| {
            base.saturating_add(per_device.saturating_mul(devices))
                .min(max)
        };
        Budget {
            fuel: scaled(
                self.planning_fuel,
                self.planning_fuel_per_device,
                MAX_PLANNING_FUEL,
            ),
            deadline: self.planning_deadline,
            memory_bytes: self.memory_bytes,
            answer_bytes: scaled(
                self.answer_bytes,
                self.answer_bytes_per_device,
                MAX_ANSWER_BYTES,
            ),
        }
    }
}

/// What one call may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    pub(crate) fuel: u64,
    pub(crate) deadline: Duration,
    pub(crate) memory_bytes: u64,
    pub(crate) answer_bytes: u64,
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
    fn budgets_grow_with_devices_up_to_the_ceiling() {
        let limits = SandboxLimits::default();
        assert_eq!(limits.planning_budget(1_000).fuel, 105_000_000);
        assert_eq!(limits.planning_budget(u64::MAX).fuel, MAX_PLANNING_FUEL);
        assert_eq!(
            limits.planning_budget(1_000_000).answer_bytes,
            (1 << 20) + 8_000_000
        );
        assert_eq!(
            limits.planning_budget(u64::MAX).answer_bytes,
            MAX_ANSWER_BYTES
        );
    }
}
