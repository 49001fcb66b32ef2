use bytes::Bytes;
use futures::{StreamExt as _, stream};
use tidegate_core::id::Digest;

use crate::{
    Authorized, Ctx, Engine, Error, Publisher, Result,
    files::FileLease,
    ports::{Inspection, NewRevision, Rejection, Revision, StoreError},
};

/// Uploads a component: the sandbox inspects it, then it is stored as a revision of the plugin that it names. Repeating
/// an upload changes nothing.
pub async fn upload(
    ctx: &Authorized<Publisher>,
    engine: &Engine,
    component: Bytes,
) -> Result<Revision> {
    let inspection = inspect_component(engine, &component).await?;
    let plugin = inspection.description.name.clone();
    let digest = inspection.digest;
    store_component(ctx, engine, component, inspection).await?;
    super::revision(ctx, engine.store(), &plugin, digest).await
}

pub(super) async fn inspect_component(engine: &Engine, component: &Bytes) -> Result<Inspection> {
    let sandbox = &engine.ports.sandbox;
    let inspected = sandbox.inspect(component.clone()).await;
    inspected.map_err(|rejection| match rejection {
        Rejection::Invalid(message) => Error::Invalid {
            code: "plugin_rejected",
            message,
            errors: Vec::new(),
        },
        Rejection::Unavailable(message) => Error::Unavailable { message },
    })
}

/// Stores an inspected component: first its bytes, then its revision. If the revision is refused, the bytes are
/// deleted.
pub(super) async fn store_component(
    ctx: &Ctx,
    engine: &Engine,
    component: Bytes,
    inspection: Inspection,
) -> Result<()> {
    let size = component.len() as u64;
    let body = stream::iter([Ok(component)]).boxed();
    let lease = FileLease::new(engine);
    let sha256 = lease.store_file(body, size).await?.hashes.sha256;
    if Digest(sha256) != inspection.digest {
        lease.release().await;
        let message = "the artifact store and the sandbox read different bytes";
        return Err(Error::internal("store component", message));
    }
    let revision = NewRevision {
        digest: inspection.digest,
        kind: inspection.kind,
        contract: inspection.contract,
        description: inspection.description,
        size,
        created_by: ctx.actor.name.to_string(),
        created_at: engine.now(),
    };
    let stored = engine.store().put_revision(ctx, revision).await;
    // After any other error the revision may have been stored nevertheless, so the lease is kept until it expires.
    if matches!(stored, Ok(()) | Err(StoreError::Conflict(_))) {
        lease.release().await;
    }
    stored.map_err(|error| match error {
        StoreError::Conflict(message) => Error::conflict("plugin_kind", message),
        error => error.into(),
    })
}
