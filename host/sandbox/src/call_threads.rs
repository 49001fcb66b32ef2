//! The threads that run plugins.

#[cfg(target_os = "linux")]
use tidegate_engine::chain;
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
};

/// How much the threads yield to the others of the process, which answer devices (`nice`).
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// Threads for blocking calls of plugins, with a lower priority than those that answer requests: a call may take all the
/// time of its fuel, and a poll takes microseconds.
pub(crate) struct CallThreads {
    /// Its pool of blocking threads is used, and nothing else. `None` once it is dropped.
    runtime: Option<Runtime>,
}

impl CallThreads {
    /// As many threads as there may be calls at once. They start when they are needed, and end when they are idle.
    pub(crate) fn new(calls: usize) -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .thread_name("plugin-call")
            .max_blocking_threads(calls)
            .on_thread_start(lower_priority)
            .build()?;
        Ok(Self {
            runtime: Some(runtime),
        })
    }

    /// Runs a function on one of the threads.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        run: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        self.runtime
            .as_ref()
            .expect("it is taken when the threads are dropped")
            .spawn_blocking(run)
    }
}

impl Drop for CallThreads {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A drop in an async context may not wait for the calls that run.
            runtime.shutdown_background();
        }
    }
}

/// Of this thread alone, which only Linux can.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::warn!(error = %chain(&error), "plugin calls run at the priority of the server");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn calls_have_a_lower_priority_than_the_server() -> anyhow::Result<()> {
        let threads = CallThreads::new(1)?;
        let niceness = || rustix::process::nice(0);
        let before = niceness()?;
        let expected = (before + NICENESS).min(19);
        assert_eq!(threads.run(niceness).await??, expected);
        assert_eq!(niceness()?, before, "this thread keeps its own");
        Ok(())
    }
}
