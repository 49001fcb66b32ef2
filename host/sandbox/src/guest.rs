//! The host's state of a call: its memory usage and its log lines.

use tidegate_core::visible_text::{in_one_line, visible};
use wasmtime::{
    ResourceLimiter, StoreContextMut,
    component::{Linker, WasmStr},
};

use crate::limits::{
    MAX_INSTANCES, MAX_LOG_BYTES, MAX_MEMORIES, MAX_TABLE_ELEMENTS, MAX_TABLES, truncate,
};

/// The data of a Wasmtime store.
pub(crate) struct Guest {
    pub(crate) memory: MemoryLimiter,
    pub(crate) log: GuestLog,
}

impl Guest {
    /// A guest with a limit on the total size of its memories.
    pub(crate) fn new(memory_bytes: u64) -> Self {
        Self {
            memory: MemoryLimiter {
                limit: memory_bytes,
                allocated: 0,
                peak: 0,
                refused: false,
            },
            log: GuestLog::default(),
        }
    }
}

/// Limits the total size of all memories of a call. Wasmtime's own limits are per memory, and do not record whether
/// one was hit.
pub(crate) struct MemoryLimiter {
    limit: u64,
    allocated: u64,
    pub(crate) peak: u64,
    /// True if a growth was refused. What the guest does next, usually a panic, is due to a lack of memory.
    pub(crate) refused: bool,
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let allocated = self
            .allocated
            .saturating_add(desired.saturating_sub(current) as u64);
        if allocated > self.limit {
            self.refused = true;
            return Ok(false);
        }
        // Wasmtime refuses a growth beyond the memory's own maximum, so that is not counted.
        if maximum.is_none_or(|maximum| desired <= maximum) {
            self.allocated = allocated;
            self.peak = self.peak.max(allocated);
        }
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= MAX_TABLE_ELEMENTS)
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES as usize
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES as usize
    }

    fn tables(&self) -> usize {
        MAX_TABLES as usize
    }
}

/// The first 16 KiB of log lines, each visible.
#[derive(Default)]
pub(crate) struct GuestLog {
    pub(crate) lines: Vec<String>,
    /// The first line of the last text, which may have several.
    last_text: usize,
    bytes: usize,
}

impl GuestLog {
    fn is_full(&self) -> bool {
        self.bytes >= MAX_LOG_BYTES
    }

    /// The text that was logged last, in one line.
    pub(crate) fn last_text(&self) -> Option<String> {
        let lines = self.lines[self.last_text..].iter();
        let text = in_one_line(lines.map(String::as_str));
        (!text.is_empty()).then_some(text)
    }

    fn push(&mut self, text: &str) {
        self.last_text = self.lines.len();
        for line in text.trim_end_matches('\n').split('\n') {
            if self.is_full() {
                return;
            }
            self.push_line(line.trim_end_matches('\r'));
        }
    }

    fn push_line(&mut self, line: &str) {
        let remaining = MAX_LOG_BYTES.saturating_sub(self.bytes);
        let line = &line[..line.floor_char_boundary(remaining)];
        // An empty line counts as one byte, so that the number of lines is limited as well.
        self.bytes += line.len().max(1);
        self.lines.push(visible(line).into_owned());
    }
}

/// Fuel for a log line, besides one unit per byte. Logging takes the host's time, and fuel must end a flood of lines
/// before the deadline does.
const LOG_LINE_FUEL: u64 = 256;

/// Links the log function, the only import of guests.
pub(crate) fn link_log(linker: &mut Linker<Guest>, interface: &str) -> wasmtime::Result<()> {
    linker.instance(interface)?.func_wrap(
        "line",
        |mut store: StoreContextMut<'_, Guest>, (text,): (WasmStr,)| {
            let mut cost = LOG_LINE_FUEL;
            if !store.data().log.is_full() {
                let text = text.to_str(&store)?;
                cost += text.len() as u64;
                // No more of a long line is copied than is kept.
                let line = truncate(&text, MAX_LOG_BYTES).to_owned();
                store.data_mut().log.push(&line);
            }
            let remaining = store.get_fuel()?.saturating_sub(cost);
            store.set_fuel(remaining)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_the_sum_over_all_memories() -> wasmtime::Result<()> {
        let mut memory = Guest::new(100).memory;
        assert!(memory.memory_growing(0, 60, None)?);
        assert!(memory.memory_growing(0, 40, None)?);
        assert!(!memory.refused);
        assert!(!memory.memory_growing(40, 41, None)?);
        assert!(memory.refused);
        assert_eq!(memory.peak, 100);
        Ok(())
    }

    #[test]
    fn log_lines_are_visible() {
        let mut log = GuestLog::default();
        log.push("panicked at \u{1b}]0;x\u{7}\r\n  b\u{202e}\n");
        assert_eq!(log.lines, ["panicked at \\u{1b}]0;x\\u{7}", "  b\\u{202e}"]);
        let text = "panicked at \\u{1b}]0;x\\u{7} b\\u{202e}".to_owned();
        assert_eq!(log.last_text(), Some(text));
        log.push("");
        assert_eq!((log.lines.len(), log.last_text()), (3, None));
    }

    #[test]
    fn many_lines_of_one_text_are_bounded() {
        let mut log = GuestLog::default();
        log.push(&"\na".repeat(MAX_LOG_BYTES));
        assert!(log.is_full());
        assert!(log.lines.len() <= MAX_LOG_BYTES);
    }

    #[test]
    fn the_log_is_truncated_between_characters() {
        let mut log = GuestLog::default();
        log.push(&"é".repeat(MAX_LOG_BYTES));
        assert_eq!(log.lines[0].len(), MAX_LOG_BYTES);
        assert!(log.is_full());

        let mut log = GuestLog::default();
        log.push("x");
        log.push(&"é".repeat(MAX_LOG_BYTES));
        assert_eq!(log.lines[1].len(), MAX_LOG_BYTES - 2);
        while !log.is_full() {
            log.push("");
        }
        assert!(log.lines.len() <= 4);
    }
}
