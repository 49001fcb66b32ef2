//! Checks the subjects of commits: everything that comes after the commit which added this file.

use std::process::Command;

use anyhow::{Result, bail};

use crate::shell;
use crate::workspace::Workspace;

/// The commit that added this file is where the check begins.
const THIS_FILE: &str = "xtask/src/suite/commits.rs";
/// Longest subject, in characters.
const MAX_SUBJECT: usize = 72;

/// Refuses a commit subject of more than [`MAX_SUBJECT`] characters. Skips the check where git's history is not there: in
/// an unpacked archive, or in a shallow clone that lacks the first commit to check.
pub(super) fn check(workspace: &Workspace) -> Result<()> {
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        shell::output(git.current_dir(&workspace.root).args(arguments))
    };
    if git(&["rev-parse", "--verify", "--quiet", "HEAD"]).is_err() {
        println!("skipped: this is no git checkout");
        return Ok(());
    }
    if git(&["rev-parse", "--is-shallow-repository"])? == "true" {
        println!("skipped: this clone is shallow, its history is cut off");
        return Ok(());
    }
    let added = git(&["log", "--diff-filter=A", "--format=%H", "--", THIS_FILE])?;
    let Some(first) = added.lines().last() else {
        println!("skipped: {THIS_FILE} is not committed yet");
        return Ok(());
    };
    let commits = git(&["log", "--format=%h %s", &format!("{first}..HEAD")])?;
    let too_long = long_subjects(&commits);
    if !too_long.is_empty() {
        bail!(
            "commit subjects of more than {MAX_SUBJECT} characters; shorten them with `git rebase --interactive {}`:\n{}",
            &first[..12],
            too_long.join("\n")
        );
    }
    println!("{} commits since {}", commits.lines().count(), &first[..12]);
    Ok(())
}

/// The lines `<hash> <subject>` whose subject is too long, each with its length.
fn long_subjects(log: &str) -> Vec<String> {
    log.lines()
        .filter_map(|line| {
            let (_, subject) = line.split_once(' ')?;
            let length = subject.chars().count();
            (length > MAX_SUBJECT).then(|| format!("{length}: {line}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_may_have_72_characters() {
        let fits = format!("abc1234 {}", "ä".repeat(72));
        let exceeds = format!("def5678 {}", "ä".repeat(73));
        assert_eq!(long_subjects(&fits), Vec::<String>::new());
        let log = format!("{fits}\n{exceeds}");
        assert_eq!(long_subjects(&log), [format!("73: {exceeds}")]);
    }
}
