//! A campaign in progress: the host's own ceiling, the policies' verdicts, the strategy's decision.

use tidegate_core::{
    campaign::{CampaignStatus, FAILURE_CEILING, Hold, RETURN_WEIGHT, Rollback, Step},
    checker::check_decision,
    firmware::Firmware,
    plugin::{Decision, HealthVerdict, Kind, Outcome, PolicyVerdict, RollBack, Scope},
    wave::ceiling_reached,
};

use super::{CHUNK, CHUNKS, Tick, observe};
use crate::{
    Error, Result,
    campaigns::{
        calls::{checked, entry},
        prepare::campaign_firmware,
    },
    ports::{Applied, CallFailure, EntryKind, NewEntry, Offer, Run, Trouble},
};

impl Tick<'_> {
    pub(super) async fn forward(&self, run: Run) -> Result<()> {
        let firmware = campaign_firmware(self.engine, &run.campaign).await?;
        let stopped = self.over_the_ceiling(&run);
        let applied = match stopped.or_else(|| self.backing_off(&run)) {
            Some(applied) => applied,
            None => self.ask(&run, &firmware).await?,
        };
        let goes_on = applied.status.is_none();
        let turns_back = applied.status == Some(CampaignStatus::RollingBack);
        if !self.apply(applied).await? {
            return Ok(());
        }
        if turns_back {
            return self.again_soon().await;
        }
        if goes_on {
            self.admit(&run, &firmware).await
        } else {
            Ok(())
        }
    }

    /// The failure ceiling, which no plugin can lift. Failures that an operator accepted do not count.
    fn over_the_ceiling(&self, run: &Run) -> Option<Applied> {
        let percent = run.campaign.spec.failure_threshold_percent;
        let ceiling = u16::from(percent) * 100;
        let wave = run
            .waves
            .iter()
            .find(|wave| ceiling_reached(&wave.report, wave.accepted, ceiling))?;
        let (name, size) = (&wave.report.name, wave.report.size);
        let failed = wave.report.counts.unsuccessful();
        let reason = match wave.accepted {
            0 => format!(
                "{failed} of the {size} devices of wave {name} failed: the ceiling is {percent} %"
            ),
            accepted => format!(
                "{failed} of the {size} devices of wave {name} failed, {accepted} of which were accepted: the ceiling \
                 is {percent} % more"
            ),
        };
        let applied = if run.campaign.spec.auto_rollback {
            self.turn_back(
                run,
                RollBack {
                    scope: Scope::Everything,
                    reason: reason.clone(),
                },
                FAILURE_CEILING,
            )
        } else {
            self.hold(run, reason.clone(), FAILURE_CEILING)
        };
        Some(Applied {
            journal: self.host_journal("failure_ceiling", &reason),
            ..applied
        })
    }

    async fn ask(&self, run: &Run, firmware: &Firmware) -> Result<Applied> {
        let judged = self.judge(run, firmware).await;
        if let (true, Some((policy, wish))) = (run.campaign.spec.auto_rollback, judged.wish.clone())
        {
            let turned = self.turn_back(run, wish, &policy);
            return Ok(Applied {
                journal: judged.journal,
                policy_states: Some(judged.states),
                ..turned
            });
        }
        let observation = observe::observation(run, firmware, judged.verdicts, self.now);
        let strategy = &run.campaign.spec.strategy;
        let call = self
            .engine
            .sandbox()
            .decide(strategy.revision, observation.clone())
            .await;
        let call = checked(call, |decision| {
            check_decision(&observation, run.parallel, &decision).map(|levels| (decision, levels))
        });
        let mut record = entry(
            self.engine,
            self.run.tenant,
            strategy,
            EntryKind::Decide,
            self.now,
            &call,
        );
        let applied = match call.outcome {
            Ok((decision, levels)) => {
                decision.outcome.as_str().clone_into(&mut record.outcome);
                record.explain.clone_from(&decision.explain);
                let decided = Applied {
                    trouble: Trouble::default(),
                    ..self.decided(run, decision, levels)
                };
                match judged.failure {
                    Some((policy, failure)) if decided.status.is_none() => {
                        self.despite_failure(run, decided, &policy, &failure)
                    }
                    _ => decided,
                }
            }
            Err(failure) => self.failed(run, &strategy.plugin, &failure),
        };
        let mut journal = judged.journal;
        journal.push(record);
        Ok(Applied {
            journal,
            policy_states: Some(judged.states),
            ..applied
        })
    }

    /// Asks the health policies. One that fails is inconclusive: not healthy enough to go on.
    async fn judge(&self, run: &Run, firmware: &Firmware) -> Judged {
        let mut judged = Judged::default();
        for (index, policy) in run.campaign.spec.policies.iter().enumerate() {
            let state = run.policy_states.get(index).cloned().unwrap_or_default();
            if policy.kind != Kind::Health {
                judged.states.push(state);
                continue;
            }
            let input = observe::health_input(run, firmware, policy, state.clone(), self.now);
            let call = self.engine.sandbox().evaluate(policy.revision, input).await;
            let mut record = entry(
                self.engine,
                self.run.tenant,
                policy,
                EntryKind::Evaluate,
                self.now,
                &call,
            );
            let (verdict, confidence) = match call.outcome {
                Ok(answer) => {
                    answer.verdict.as_str().clone_into(&mut record.outcome);
                    record.explain = answer.explain;
                    judged.states.push(answer.state);
                    (answer.verdict, answer.confidence)
                }
                Err(failure) => {
                    judged.states.push(state);
                    let verdict =
                        HealthVerdict::Inconclusive(format!("the policy failed: {failure}"));
                    judged
                        .failure
                        .get_or_insert((policy.plugin.clone(), failure));
                    (verdict, 0)
                }
            };
            if let HealthVerdict::RollBack(wish) = &verdict {
                judged
                    .wish
                    .get_or_insert((policy.plugin.clone(), wish.clone()));
            }
            judged.journal.push(record);
            judged.verdicts.push(PolicyVerdict {
                policy: policy.plugin.clone(),
                verdict,
                confidence,
            });
        }
        judged
    }

    fn decided(&self, run: &Run, decision: Decision, levels: Vec<u64>) -> Applied {
        let wake_at = decision.wake_after.map(|after| self.now.plus(after));
        let by = run.campaign.spec.strategy.plugin.as_str();
        let applied = match decision.outcome {
            Outcome::Proceed | Outcome::AwaitOperator(_) => Applied {
                wake_at,
                ..self.nothing(run)
            },
            Outcome::Hold(reason) => self.hold(run, reason, by),
            Outcome::RollBack(wish) if run.campaign.spec.auto_rollback => {
                self.turn_back(run, wish, by)
            }
            Outcome::RollBack(wish) => {
                let reason = format!(
                    "{} (auto_rollback is off: roll back or resume)",
                    wish.reason
                );
                self.hold(run, reason, by)
            }
            Outcome::Complete => self.end(run, Step::Complete),
            Outcome::Fail(reason) => {
                let hold = Some(Hold {
                    reason,
                    by: by.to_owned(),
                    since: self.now,
                });
                Applied {
                    hold,
                    ..self.end(run, Step::Fail)
                }
            }
        };
        let explain = Some(decision.explain);
        Applied {
            levels: Some(levels),
            strategy_state: Some(decision.state),
            explain,
            ..applied
        }
    }

    pub(super) fn hold(&self, run: &Run, reason: String, by: &str) -> Applied {
        let hold = Some(Hold {
            reason,
            by: by.to_owned(),
            since: self.now,
        });
        Applied {
            status: Some(CampaignStatus::Held),
            hold,
            ..self.nothing(run)
        }
    }

    fn turn_back(&self, run: &Run, wish: RollBack, by: &str) -> Applied {
        let rollback = Some(Rollback {
            scope: wish.scope,
            reason: wish.reason,
            by: by.to_owned(),
        });
        let (status, wake_at) = (Some(CampaignStatus::RollingBack), Some(self.now));
        Applied {
            status,
            rollback,
            wake_at,
            ..self.nothing(run)
        }
    }

    fn end(&self, run: &Run, step: Step) -> Applied {
        // The campaign is in progress, from where every end can be reached.
        let status = run.campaign.status.after(step).ok();
        Applied {
            status,
            ended_at: Some(self.now),
            ..self.nothing(run)
        }
    }

    /// Makes updates for the devices that are released and have none yet, in order.
    async fn admit(&self, run: &Run, firmware: &Firmware) -> Result<()> {
        let offer = self.offer(run, firmware);
        let (mut chunks, mut admitted_now) = (0, 0);
        for wave in 0..run.waves.len() {
            let wave =
                u32::try_from(wave).map_err(|error| Error::internal("number waves", error))?;
            loop {
                if chunks == CHUNKS {
                    return self.again_soon().await;
                }
                let admitted = self
                    .engine
                    .store()
                    .admit(self.run, self.fence, wave, CHUNK, &offer)
                    .await?;
                self.forget(&admitted.touched);
                chunks += u32::from(!admitted.touched.is_empty());
                admitted_now += admitted.touched.len() as u64;
                if admitted.left == 0 || admitted.touched.is_empty() {
                    break;
                }
            }
        }
        self.admit_after_all(run, &offer, admitted_now).await
    }

    /// Looks again at devices that were passed over and may be admitted now: no more than the campaign's limit of
    /// devices in flight leaves room for. The others wait until something of it ends.
    async fn admit_after_all(&self, run: &Run, offer: &Offer, admitted_now: u64) -> Result<()> {
        let in_flight: u64 = run
            .waves
            .iter()
            .map(|wave| wave.report.counts.in_flight())
            .sum();
        let most = run.campaign.spec.max_concurrent_updates.unwrap_or(u64::MAX);
        let room = most.saturating_sub(in_flight + admitted_now);
        let limit = u32::try_from(room).unwrap_or(u32::MAX).min(CHUNK);
        if limit == 0 {
            return Ok(());
        }
        let touched = self
            .engine
            .store()
            .admit_after_all(self.run, self.fence, limit, offer)
            .await?;
        self.forget(&touched);
        Ok(())
    }

    pub(super) fn offer(&self, run: &Run, firmware: &Firmware) -> Offer {
        let spec = &run.campaign.spec;
        let goes_back = run.campaign.status == CampaignStatus::RollingBack;
        let (weight, proof, terms) = if goes_back {
            let (proof, terms) = (spec.proof.of_return(), spec.terms.of_return());
            (RETURN_WEIGHT, proof, terms)
        } else {
            (spec.priority.weight(), spec.proof, spec.terms.clone())
        };
        Offer {
            firmware: spec.firmware,
            to_version: firmware.details.version.clone(),
            weight,
            proof,
            terms,
            now: self.now,
        }
    }
}

/// What the health policies said.
#[derive(Default)]
struct Judged {
    verdicts: Vec<PolicyVerdict>,
    /// The first wish to go back, and whose it is.
    wish: Option<(String, RollBack)>,
    /// The first policy that failed, and how.
    failure: Option<(String, CallFailure)>,
    /// New states, in the order of the spec.
    states: Vec<Vec<u8>>,
    journal: Vec<NewEntry>,
}
