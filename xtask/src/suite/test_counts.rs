//! Counts tests, from the last line of each test program.

use std::fmt;
use std::io::{BufRead, BufReader, Write, stdout};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow};

use crate::shell;

/// The sums over all test programs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct TestCounts {
    passed: u64,
    failed: u64,
    ignored: u64,
}

/// Runs a command, passes on its output, and counts. The inner result is that of the command,
/// because a test program that crashed prints no counts.
pub(super) fn watch(command: &mut Command) -> Result<(TestCounts, Result<()>)> {
    let line = shell::line(command);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("start `{line}`"))?;
    let output = child.stdout.take().context("the command has no output")?;
    let mut test_counts = TestCounts::default();
    let mut lines = BufReader::new(output);
    let mut bytes = Vec::new();
    while lines.read_until(b'\n', &mut bytes)? > 0 {
        stdout().write_all(&bytes)?;
        test_counts.add(&String::from_utf8_lossy(&bytes));
        bytes.clear();
    }
    let status = child.wait()?;
    let result = if status.success() {
        Ok(())
    } else {
        Err(anyhow!("`{line}`: {status}"))
    };
    Ok((test_counts, result))
}

impl TestCounts {
    /// Adds a line such as `test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; ...`.
    fn add(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else {
            return;
        };
        let counts = result.split_once(". ").map_or("", |(_, counts)| counts);
        for count in counts.split("; ") {
            let Some((number, what)) = count.split_once(' ') else {
                continue;
            };
            let Ok(number) = number.parse::<u64>() else {
                continue;
            };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

impl fmt::Display for TestCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.ignored > 0 {
            write!(f, ", {} ignored", self.ignored)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_result_lines_count() {
        let mut test_counts = TestCounts::default();
        for line in [
            "running 3 tests\n",
            "test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n",
            "my program printed: test result: ok. 50 passed; 0 failed\n",
            "test result: FAILED. 1 passed; 4 failed; 0 ignored; 0 measured; 0 filtered out\n",
        ] {
            test_counts.add(line);
        }
        assert_eq!(test_counts.to_string(), "3 passed, 4 failed, 1 ignored");
    }
}
