use std::sync::atomic::{AtomicBool, Ordering};

/// Whether this server hears the others. True until it subscribes.
#[derive(Debug, Default)]
pub(crate) struct ListenHealth {
    is_deaf: AtomicBool,
}

impl ListenHealth {
    pub(crate) fn set_deaf(&self, is_deaf: bool) {
        self.is_deaf.store(is_deaf, Ordering::Relaxed);
    }

    pub(crate) fn unhealthy_reason(&self) -> Option<String> {
        self.is_deaf.load(Ordering::Relaxed).then(|| {
            "changes of other servers are not heard; devices are answered from the database"
                .to_owned()
        })
    }
}
