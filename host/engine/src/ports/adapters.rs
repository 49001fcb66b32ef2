use std::sync::Arc;

use super::{Artifacts, Clock, Entropy, Observer, Sandbox, Store};

/// The adapters of the engine.
#[derive(Clone)]
#[expect(missing_docs, reason = "the ports' names")]
pub struct Ports {
    pub store: Arc<dyn Store>,
    pub artifacts: Arc<dyn Artifacts>,
    pub sandbox: Arc<dyn Sandbox>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub observer: Arc<dyn Observer>,
}
