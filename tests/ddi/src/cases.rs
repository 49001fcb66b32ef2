//! What the standard says, as cases.
#![cfg_attr(
    not(test),
    expect(
        clippy::enum_glob_use,
        reason = "where a device stands is said in every case, in one word"
    )
)]

mod cancel;
mod config_data;
mod confirmation;
mod deployment;
mod doors;
mod every_resource;
mod feedback;
mod file_list;
mod files;
mod installed;
mod kinds;
mod negotiation;
mod old_clients;
mod poll;
mod proxies;
mod ranges;
mod say;
mod states;
mod told;
mod windows;

use crate::case::Case;

/// All of them, in the order of the report.
fn all() -> Vec<Case> {
    let mut cases = [
        every_resource::cases(),
        negotiation::cases(),
        doors::cases(),
        proxies::cases(),
        poll::cases(),
        file_list::cases(),
        files::cases(),
        ranges::cases(),
        deployment::cases(),
        kinds::cases(),
        windows::cases(),
        feedback::cases(),
        cancel::cases(),
        states::cases(),
        config_data::cases(),
        installed::cases(),
        told::cases(),
        confirmation::cases(),
        old_clients::cases(),
    ]
    .concat();
    // Those of a row together, else in their order.
    cases.sort_by_key(|case| place(case.row));
    cases
}

/// Where a row stands among others: 1, 1.1, 2, 10.
pub(crate) fn place(row: &str) -> Vec<u32> {
    row.split('.')
        .map(|part| part.parse().unwrap_or(u32::MAX))
        .collect()
}

/// Those of these rows, or with this in their names; all, if nothing is said.
pub(crate) fn chosen(only: &[String]) -> Vec<Case> {
    let fits = |case: &Case, only: &String| {
        let is_row = only
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
        if is_row {
            case.row == only
        } else {
            case.name.contains(&**only)
        }
    };
    let is_chosen = |case: &Case| only.is_empty() || only.iter().any(|only| fits(case, only));
    all().into_iter().filter(is_chosen).collect()
}

/// Row and name of each case of these rows, or with this in its name; of all, if nothing is said.
pub fn list(only: &[String]) -> Vec<(&'static str, String)> {
    chosen(only)
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
    fn every_case_has_a_name_of_its_own_and_looks_at_something() {
        let mut seen = BTreeSet::new();
        for case in all() {
            assert!(
                seen.insert((case.row, case.name.clone())),
                "twice: {} {}",
                case.row,
                case.name
            );
            let looks = |step: &Step| match step {
                Step::Request(request) => !request.checks.is_empty(),
                Step::Operator(_) => true,
            };
            assert!(
                case.steps.iter().any(looks),
                "{} looks at nothing",
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
