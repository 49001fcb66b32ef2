use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

/// Lines that wait to be written. If the reader of the log stops, memory for so many lines is used, then lines are
/// dropped.
const MAX_WAITING_LINES: usize = 10_000;

/// Writes the log from a thread of its own, so that no request waits for it or fails with it. Lines that cannot be
/// written are dropped and counted. Dropping this writes the waiting lines, for at most a second.
pub(crate) struct LogOutput {
    /// Lines that the destination refused.
    refused: Arc<AtomicU64>,
    /// Lines that found the queue full.
    overflow: ErrorCounter,
    _worker: WorkerGuard,
}

impl LogOutput {
    /// Starts the thread, which writes to `destination`.
    pub(crate) fn start(destination: impl Write + Send + 'static) -> (NonBlocking, Self) {
        let refused = Arc::new(AtomicU64::new(0));
        let destination = CountingWriter {
            destination,
            refused: Arc::clone(&refused),
        };
        let (writer, worker) = NonBlockingBuilder::default()
            .buffered_lines_limit(MAX_WAITING_LINES)
            .thread_name("log")
            .finish(destination);
        let output = Self {
            refused,
            overflow: writer.error_counter(),
            _worker: worker,
        };
        (writer, output)
    }

    /// Reads the number of lines that were dropped since the start.
    pub(crate) fn dropped_lines(&self) -> impl Fn() -> u64 + Send + Sync + use<> {
        let refused = Arc::clone(&self.refused);
        let overflow = self.overflow.clone();
        move || refused.load(Ordering::Relaxed) + overflow.dropped_lines() as u64
    }
}

/// Reports lines that the destination refuses as written, and counts them.
struct CountingWriter<W> {
    destination: W,
    refused: Arc<AtomicU64>,
}

impl<W: Write> Write for CountingWriter<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.write_all(line)?;
        Ok(line.len())
    }

    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        if self.destination.write_all(line).is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        // Lines are not buffered; what the destination refuses is counted when it is written.
        let _ = self.destination.flush();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Refuses every other line, and sends how many it was given.
    struct Flaky {
        given: u64,
        sender: mpsc::Sender<u64>,
    }

    impl Write for Flaky {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.given += 1;
            let _ = self.sender.send(self.given);
            if self.given.is_multiple_of(2) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }
    }

    #[test]
    fn lines_that_are_refused_are_counted_and_later_ones_are_written() {
        let (sender, given) = mpsc::channel();
        let (mut writer, output) = LogOutput::start(Flaky { given: 0, sender });
        let dropped = output.dropped_lines();
        for _ in 0..5 {
            writer.write_all(b"line\n").expect("a queue accepts lines");
        }
        drop(writer);
        drop(output);
        assert_eq!(given.iter().count(), 5);
        assert_eq!(dropped(), 2);
    }

    /// Waits for a signal at its first line.
    struct BlockedWriter(mpsc::Receiver<()>);

    impl Write for BlockedWriter {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            // An error is the end of the test.
            let _ = self.0.recv();
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_destination_that_hangs_delays_no_writer() {
        let (release, hang) = mpsc::channel();
        let (mut writer, output) = LogOutput::start(BlockedWriter(hang));
        let more = 10;
        for _ in 0..MAX_WAITING_LINES + more {
            writer.write_all(b"line\n").expect("a queue accepts lines");
        }
        // The thread may have taken one line out of the queue.
        let dropped = output.dropped_lines()();
        assert!(
            (more as u64 - 1..=more as u64).contains(&dropped),
            "{dropped}"
        );
        drop(release);
    }
}
