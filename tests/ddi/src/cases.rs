//! The standard, as cases.
#![cfg_attr(
    not(test),
    expect(
        clippy::enum_glob_use,
        reason = "every case names a device state, and one word is enough"
    )
)]

mod authentication;
mod cancel;
mod config_data;
mod confirmation;
mod deployment;
mod every_resource;
mod feedback;
mod file_list;
mod files;
mod installed;
mod installed_report;
mod known_clients;
mod maintenance_windows;
mod negotiation;
mod payloads;
mod poll;
mod proxies;
mod ranges;
mod states;
mod update_types;

use crate::case::Case;

/// All cases, in the order of the report.
fn all() -> Vec<Case> {
    let mut cases = [
        every_resource::cases(),
        negotiation::cases(),
        authentication::cases(),
        proxies::cases(),
        poll::cases(),
        file_list::cases(),
        files::cases(),
        ranges::cases(),
        deployment::cases(),
        update_types::cases(),
        maintenance_windows::cases(),
        feedback::cases(),
        cancel::cases(),
        states::cases(),
        config_data::cases(),
        installed::cases(),
        installed_report::cases(),
        confirmation::cases(),
        known_clients::cases(),
    ]
    .concat();
    // By row; within a row, in the order above.
    cases.sort_by_key(|case| row_order(case.row));
    cases
}

/// The sort key of a row, which orders 1, 1.1, 2, 10.
pub(crate) fn row_order(row: &str) -> Vec<u32> {
    row.split('.')
        .map(|part| part.parse().unwrap_or(u32::MAX))
        .collect()
}

/// The cases in one of these rows or with one of these texts in their names; all if `only` is empty.
pub(crate) fn select(only: &[String]) -> Vec<Case> {
    let matches = |case: &Case, only: &String| {
        let is_row = only
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
        if is_row {
            case.row == only
        } else {
            case.name.contains(&**only)
        }
    };
    let is_chosen = |case: &Case| only.is_empty() || only.iter().any(|only| matches(case, only));
    all().into_iter().filter(is_chosen).collect()
}

/// Row and name of each case in one of these rows or with one of these texts in its name; of all if `only` is empty.
pub fn list(only: &[String]) -> Vec<(&'static str, String)> {
    select(only)
        .into_iter()
        .map(|case| (case.row, case.name))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::case::Step;

    #[test]
    fn case_names_are_unique_and_every_case_checks_something() {
        let mut seen = BTreeSet::new();
        for case in all() {
            assert!(
                seen.insert((case.row, case.name.clone())),
                "duplicate case: {} {}",
                case.row,
                case.name
            );
            let checks_something = |step: &Step| match step {
                Step::Request(request) => !request.checks.is_empty(),
                Step::Operator(_) => true,
            };
            assert!(
                case.steps.iter().any(checks_something),
                "{} checks nothing",
                case.name
            );
        }
    }

    #[test]
    fn every_resource_has_cases() {
        let rows: BTreeSet<_> = all().into_iter().map(|case| case.row).collect();
        for number in 1..=16 {
            assert!(rows.contains(&*number.to_string()), "{number}");
        }
    }

    #[test]
    fn cases_are_chosen_by_row_or_name() {
        let only = |only: &str| list(&[only.to_owned()]);
        assert!(only("7").iter().all(|(row, _)| *row == "7") && !only("7").is_empty());
        assert!(
            only("ETag").iter().all(|(_, name)| name.contains("ETag")) && !only("ETag").is_empty()
        );
        assert!(list(&[]).len() >= 150);
    }
}
