use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::{
    deadlines::publish,
    recheck::recheck_updates,
    reconcile::{BATCH_SIZE, MAX_TICK_DURATION},
    tick::invalidate_if_unavailable,
};
use crate::{
    Engine, Result, chain,
    independent::{do_each, done},
};

/// Time after which a round begins no further check, so that the next one finds what became due for other tenants.
const MAX_CHECKS_DURATION: Duration = Duration::from_secs(10);

/// The loop that continues the approvals of servers that died, and asks the policies again about due updates whose device
/// is of another class. It waits for plugins. Runs until it is dropped.
pub async fn check_updates_loop(engine: Arc<Engine>) {
    let heartbeat = engine
        .health
        .register_loop("update checks", MAX_TICK_DURATION);
    loop {
        let iteration = async {
            if let Err(error) = check_updates(&engine).await {
                invalidate_if_unavailable(&engine, &error);
                tracing::warn!(error = %chain(&error), "cannot check updates; retrying");
            }
        };
        heartbeat.run(iteration).await;
        sleep(engine.settings.tick_period).await;
    }
}

/// One iteration of the loop; tests call it directly.
pub async fn check_updates(engine: &Engine) -> Result<()> {
    // The time of the database is not known yet.
    if !engine.clock.is_synchronized() {
        return Ok(());
    }
    // A failure of one does not stop the other.
    let approved = done("approvals", &(), apply_approvals(engine).await);
    let begun = Instant::now();
    let may_begin = || begun.elapsed() < MAX_CHECKS_DURATION;
    let checked = done(
        "checks of updates",
        &(),
        recheck_updates(engine, &may_begin).await,
    );
    if let Ok(Some(checked)) = &checked {
        publish(engine, checked);
    }
    approved?;
    checked?;
    Ok(())
}

/// Continues the approvals of servers that died.
async fn apply_approvals(engine: &Engine) -> Result<()> {
    let approvals = engine.store().unapplied_approvals(BATCH_SIZE).await?;
    let apply = async |(tenant, approval)| {
        let writer = &engine.update_writer;
        writer.apply_approval(tenant, approval, engine.now()).await
    };
    do_each("approval", approvals, apply).await?;
    Ok(())
}
