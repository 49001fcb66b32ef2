use super::Violation;
use crate::{
    campaign::MAX_WAVES,
    device_fields::DEVICE_FIELDS,
    plugin::{Members, Plan, UNASSIGNED},
    selector::parse,
};

/// Checks a plan before its waves are resolved to devices.
pub fn check_plan(plan: &Plan) -> Result<(), Violation> {
    if plan.waves.is_empty() {
        return Err(Violation::NoWaves);
    }
    if plan.waves.len() > MAX_WAVES {
        return Err(Violation::TooManyWaves(plan.waves.len()));
    }
    for (index, wave) in plan.waves.iter().enumerate() {
        if !(1..=100).contains(&wave.name.chars().count()) {
            return Err(Violation::WaveName(index));
        }
        match &wave.members {
            Members::Share(share) if *share > 10_000 => {
                return Err(Violation::Share {
                    wave: index,
                    share: *share,
                });
            }
            Members::Selector(selector) => {
                parse(selector, &DEVICE_FIELDS).map_err(|error| Violation::Selector {
                    wave: index,
                    error: error.to_string(),
                })?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Checks the output of `assign`: each row is a custom wave of the plan or unassigned.
pub fn check_assignment(plan: &Plan, assigned: &[u32]) -> Result<(), Violation> {
    let is_custom = |wave: u32| {
        plan.waves
            .get(usize::try_from(wave).unwrap_or(usize::MAX))
            .is_some_and(|wave| wave.members == Members::Custom)
    };
    let bad = assigned
        .iter()
        .position(|wave| *wave != UNASSIGNED && !is_custom(*wave));
    bad.map_or(Ok(()), |row| {
        Err(Violation::Assignment {
            row,
            wave: assigned[row],
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::PlannedWave;

    #[test]
    fn plans_are_checked_before_they_are_resolved() {
        let plan = |waves: Vec<Members>| {
            let named = |members| PlannedWave {
                name: "wave".into(),
                members,
            };
            Plan {
                waves: waves.into_iter().map(named).collect(),
                parallel: false,
                dynamic: false,
            }
        };
        assert_eq!(check_plan(&plan(vec![])), Err(Violation::NoWaves));
        assert_eq!(
            check_plan(&plan(vec![Members::Rest; 501])),
            Err(Violation::TooManyWaves(501))
        );
        assert_eq!(
            check_plan(&plan(vec![Members::Share(10_001)])),
            Err(Violation::Share {
                wave: 0,
                share: 10_001
            })
        );
        assert!(check_plan(&plan(vec![Members::Selector("colour==red".into())])).is_err());
        let slip = plan(vec![
            Members::Rest,
            Members::Selector("state!=in-sync".into()),
        ]);
        let slip = check_plan(&slip).map_err(|violation| violation.to_string());
        assert_eq!(
            slip,
            Err(
                "invalid selector of wave 1: invalid value `in-sync` for `state`: must be unknown, registered, pending, \
                 in_sync, error or overdue (did you mean in_sync?)"
                    .to_owned()
            )
        );
        let custom = plan(vec![Members::Rest, Members::Custom]);
        assert_eq!(check_assignment(&custom, &[1, UNASSIGNED]), Ok(()));
        assert_eq!(
            check_assignment(&custom, &[1, 0]),
            Err(Violation::Assignment { row: 1, wave: 0 })
        );
    }
}
