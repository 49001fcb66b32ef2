//! A campaign in progress: the failure ceiling, the policies' verdicts, the strategy's decision.

use std::time::Duration;

use tidegate_core::{
    Named as _,
    campaign::{
        AwaitedGate, CampaignStatus, FAILURE_CEILING, Hold, JOURNAL_BOUND, Rollback, Transition,
    },
    checker::check_decision,
    plugin::{
        Decision, DecisionOutcome, Gate, HealthVerdict, PluginKind, PluginName, PolicyVerdict,
        RollbackRequest, RollbackScope,
    },
    wave::ceiling_reached,
};

use super::{
    Tick, TickEnd, observe, offers::open_waves, plugin_failures::after_success,
    wake_up::min_wake_after,
};
use crate::{
    Result,
    campaigns::{
        advance::advance_result, journal_entry::journal_entry, journal_size::full_journal,
    },
    ports::{Advance, CallFailure, NewJournalEntry, Run, TickOutcome, Wave},
};

impl Tick<'_> {
    pub(super) async fn roll_out(&self, run: Run) -> Result<TickEnd> {
        let stopped = self.check_failure_ceiling(&run);
        let run = match stopped {
            None => self.offer_due_retries(run).await?,
            Some(_) => run,
        };
        let stopped = stopped.or_else(|| self.back_off(&run));
        let outcome = match stopped.or_else(|| self.check_journal_bound(&run)) {
            Some(outcome) => outcome,
            None => self.ask_strategy(&run).await?,
        };
        match outcome.status {
            None => {
                let open = open_waves(&run, outcome.levels.as_deref());
                if open.is_empty() && !run.has_skipped_devices_to_check {
                    return self.apply_last(outcome).await;
                }
                if !self.apply(outcome).await? {
                    return Ok(TickEnd::Leased);
                }
                self.offer_updates(&run, open).await
            }
            Some(CampaignStatus::RollingBack) => {
                if !self.apply(outcome).await? {
                    return Ok(TickEnd::Leased);
                }
                Ok(TickEnd::Requeued)
            }
            Some(_) => self.apply_last(outcome).await,
        }
    }

    /// The failure ceiling, which no plugin can lift. Accepted failures do not count.
    fn check_failure_ceiling(&self, run: &Run) -> Option<TickOutcome> {
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
                "{failed} of the {size} devices of wave {name} failed, {accepted} of which were accepted: the \
                 ceiling for further failures is {percent} %"
            ),
        };
        let outcome = if run.campaign.spec.auto_rollback {
            self.start_rollback(
                run,
                RollbackRequest {
                    scope: RollbackScope::Everything,
                    reason: reason.clone(),
                },
                FAILURE_CEILING,
            )
        } else {
            self.hold(run, reason.clone(), FAILURE_CEILING)
        };
        Some(TickOutcome {
            journal: self.host_journal("failure_ceiling", &reason),
            ..outcome
        })
    }

    /// The bound of the journal. It is checked before plugins are called, so that every decision is recorded; the entries of
    /// the tick that reaches it are above.
    fn check_journal_bound(&self, run: &Run) -> Option<TickOutcome> {
        let reason = full_journal(self.engine.settings.journal, &run.campaign)?;
        Some(TickOutcome {
            journal: self.host_journal("journal_bound", &reason),
            ..self.hold(run, reason, JOURNAL_BOUND)
        })
    }

    async fn ask_strategy(&self, run: &Run) -> Result<TickOutcome> {
        let policy_results = self.evaluate_policies(run).await;
        if let (true, Some((policy, rollback_request))) = (
            run.campaign.spec.auto_rollback,
            policy_results.rollback_request.clone(),
        ) {
            let turned = self.start_rollback(run, rollback_request, &policy.to_string());
            return Ok(TickOutcome {
                journal: policy_results.journal,
                policy_states: Some(policy_results.states),
                ..turned
            });
        }
        let observation =
            observe::observation(run, &self.firmware, policy_results.verdicts, self.now);
        let strategy = &run.campaign.spec.strategy;
        let check = |decision| {
            check_decision(&observation, run.parallel, &decision).map(|levels| (decision, levels))
        };
        let plugins = self.engine.plugins();
        let decided = plugins
            .decide(self.run.tenant, strategy, observation.clone(), check)
            .await;
        let mut record = journal_entry(strategy, self.now, &decided);
        let policies = policy_results.journal.iter();
        let cost = policies.map(|entry| entry.duration).sum::<Duration>() + record.duration;
        let outcome = match decided.call.outcome {
            Ok((decision, levels)) => {
                decision.outcome.as_str().clone_into(&mut record.outcome);
                record.explain.clone_from(&decision.explain);
                let outcome = TickOutcome {
                    plugin_failures: after_success(run.plugin_failures),
                    ..self.decision_outcome(run, decision, levels, cost)
                };
                match policy_results.failure {
                    Some((policy, failure)) if outcome.status.is_none() => {
                        self.with_policy_failure(run, outcome, &policy, &failure)
                    }
                    _ => outcome,
                }
            }
            Err(failure) => self.plugin_failed(run, &strategy.plugin, &failure),
        };
        let mut journal = policy_results.journal;
        journal.push(record);
        Ok(TickOutcome {
            journal,
            policy_states: Some(policy_results.states),
            ..outcome
        })
    }

    /// Calls the health policies. One that fails counts as inconclusive, which does not allow the campaign to proceed.
    async fn evaluate_policies(&self, run: &Run) -> PolicyResults {
        let mut policy_results = PolicyResults::default();
        for (index, policy) in run.campaign.spec.policies.iter().enumerate() {
            let state = run.policy_states.get(index).cloned().unwrap_or_default();
            if policy.kind != PluginKind::Health {
                policy_results.states.push(state);
                continue;
            }
            let input = observe::health_input(run, &self.firmware, policy, state.clone(), self.now);
            let plugins = self.engine.plugins();
            let evaluated = plugins.evaluate(self.run.tenant, policy, input).await;
            let mut record = journal_entry(policy, self.now, &evaluated);
            let (verdict, confidence) = match evaluated.call.outcome {
                Ok(answer) => {
                    answer.verdict.as_str().clone_into(&mut record.outcome);
                    record.explain = answer.explain;
                    policy_results.states.push(answer.state);
                    (answer.verdict, answer.confidence)
                }
                Err(failure) => {
                    policy_results.states.push(state);
                    let verdict =
                        HealthVerdict::Inconclusive(format!("the policy failed: {failure}"));
                    policy_results
                        .failure
                        .get_or_insert((policy.plugin.clone(), failure));
                    (verdict, 0)
                }
            };
            if let HealthVerdict::RollBack(rollback_request) = &verdict {
                policy_results
                    .rollback_request
                    .get_or_insert((policy.plugin.clone(), rollback_request.clone()));
            }
            policy_results.journal.push(record);
            policy_results.verdicts.push(PolicyVerdict {
                policy: policy.plugin.to_string(),
                verdict,
                confidence,
            });
        }
        policy_results
    }

    /// `cost`: how long the plugin calls of this tick took.
    fn decision_outcome(
        &self,
        run: &Run,
        decision: Decision,
        levels: Vec<u64>,
        cost: Duration,
    ) -> TickOutcome {
        let least = min_wake_after(cost, run.unchanged_ticks);
        let wake_at = decision.wake_after;
        let wake_at = wake_at.map(|after| self.now.plus(after.max(least)));
        let by = &run.campaign.spec.strategy.plugin.to_string();
        let mut reason_to_complete = None;
        let outcome = match decision.outcome {
            DecisionOutcome::Proceed => TickOutcome {
                wake_at,
                awaiting: Some(None),
                ..self.unchanged(run)
            },
            DecisionOutcome::AwaitOperator(gate) => TickOutcome {
                wake_at,
                awaiting: Some(Some(self.awaited(run, gate))),
                ..self.unchanged(run)
            },
            DecisionOutcome::Hold(reason) => self.decided_hold(run, reason, by),
            DecisionOutcome::RollBack(rollback_request) if run.campaign.spec.auto_rollback => {
                self.start_rollback(run, rollback_request, by)
            }
            DecisionOutcome::RollBack(rollback_request) => {
                let reason = format!(
                    "{} (auto_rollback is off: roll back or resume)",
                    rollback_request.reason
                );
                self.decided_hold(run, reason, by)
            }
            DecisionOutcome::Complete(reason) => {
                reason_to_complete = reason;
                self.end(run, Transition::Complete)
            }
            DecisionOutcome::Fail(reason) => {
                let hold = Some(Hold {
                    reason,
                    by: by.to_owned(),
                    since: self.now,
                });
                TickOutcome {
                    hold,
                    ..self.end(run, Transition::Fail)
                }
            }
        };
        let advances = advances(run, &levels, &decision.explain);
        let explain = advances
            .iter()
            .filter_map(|(wave, advance)| {
                let wave = run.waves.get(*wave as usize)?;
                advance_result(&wave.report.name, advance)
            })
            .chain(reason_to_complete)
            .chain(decision.explain)
            .collect();
        let is_raised = |(level, wave): (&u64, &Wave)| *level > wave.report.released;
        let raises = levels.iter().zip(&run.waves).any(is_raised);
        TickOutcome {
            levels: raises.then_some(levels),
            strategy_state: Some(decision.state),
            explain: Some(explain),
            advances,
            ..outcome
        }
    }

    /// Waiting at a gate at which the campaign waits already goes on since it began.
    fn awaited(&self, run: &Run, gate: Gate) -> AwaitedGate {
        let before = run.campaign.awaiting.as_ref();
        let since = before.filter(|before| before.gate == gate);
        AwaitedGate {
            since: since.map_or(self.now, |before| before.since),
            gate,
        }
    }

    /// A strategy that holds waits at no gate.
    fn decided_hold(&self, run: &Run, reason: String, by: &str) -> TickOutcome {
        TickOutcome {
            awaiting: Some(None),
            ..self.hold(run, reason, by)
        }
    }

    pub(super) fn hold(&self, run: &Run, reason: String, by: &str) -> TickOutcome {
        let hold = Some(Hold {
            reason,
            by: by.to_owned(),
            since: self.now,
        });
        TickOutcome {
            status: Some(CampaignStatus::Held),
            hold,
            ..self.unchanged(run)
        }
    }

    fn start_rollback(&self, run: &Run, request: RollbackRequest, by: &str) -> TickOutcome {
        let rollback = Some(Rollback {
            scope: request.scope,
            reason: request.reason,
            by: by.to_owned(),
            since: Some(self.now),
        });
        let (status, wake_at) = (Some(CampaignStatus::RollingBack), Some(self.now));
        TickOutcome {
            status,
            rollback,
            wake_at,
            ..self.unchanged(run)
        }
    }

    fn end(&self, run: &Run, step: Transition) -> TickOutcome {
        // Cannot fail: the campaign is in progress, which allows every final transition.
        let status = run.campaign.status.after(step).ok();
        TickOutcome {
            status,
            ended_at: Some(self.now),
            ..self.unchanged(run)
        }
    }
}

/// The advances that a decision with these levels took into account, with its answer.
fn advances(run: &Run, levels: &[u64], explain: &[String]) -> Vec<(u32, Advance)> {
    let waves = (0_u32..).zip(run.waves.iter().zip(levels));
    let answered = waves.filter_map(|(index, (wave, level))| {
        let advance = wave.advance.as_ref()?;
        let answer = Advance {
            applied: Some(*level > 0),
            explain: explain.to_vec(),
            ..advance.clone()
        };
        advance.applied.is_none().then_some((index, answer))
    });
    answered.collect()
}

/// Results of the health policies.
#[derive(Default)]
struct PolicyResults {
    verdicts: Vec<PolicyVerdict>,
    /// The first rollback request, with the policy's name.
    rollback_request: Option<(PluginName, RollbackRequest)>,
    /// The first failure, with the policy's name.
    failure: Option<(PluginName, CallFailure)>,
    /// New states, in the order of the spec.
    states: Vec<Vec<u8>>,
    journal: Vec<NewJournalEntry>,
}
