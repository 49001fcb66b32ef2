use bytes::Bytes;
use futures::{StreamExt as _, stream};
use tidegate_core::{id::Digest, plugin::Origin};

use crate::{
    Authorized, Ctx, Error, Files, PluginCalls, Publisher, Result,
    ports::{Inspection, NewRevision, PutRevisionError, Revision, Store},
};

/// Uploads a component: the sandbox inspects it, then it is stored as a revision of the plugin that it names, a candidate
/// until an administrator enables it. The vendor of the built-in plugins is reserved. Repeating an upload changes nothing.
/// A rejected upload leaves its reason in the audit trail, and a refused one no compiled code.
pub async fn upload(
    ctx: &Authorized<Publisher>,
    store: &dyn Store,
    files: &Files,
    plugins: &PluginCalls,
    component: Bytes,
) -> Result<Revision> {
    let inspected = plugins.inspect(Some(ctx.tenant), &component).await;
    if let Err(Error::Invalid { message, .. }) = &inspected {
        let digest = Digest::of(&component);
        store.record_rejection(ctx, digest, message).await?;
    }
    let inspection = inspected?;
    let plugin = inspection.description.name.clone();
    let digest = inspection.digest;
    if let Err(error) = plugins.built_ins().check_name(&plugin, digest) {
        files.discard(digest.0).await;
        return Err(Error::conflict("reserved_name", error.to_string()));
    }
    let origin = if plugin.is_built_in() {
        Origin::BuiltIn
    } else {
        Origin::Upload
    };
    store_component(ctx, store, files, component, inspection, origin).await?;
    super::revision(ctx, store, &plugin, digest).await
}

/// Stores an inspected component: first its bytes, then its revision. If the revision is refused, the bytes and their
/// compiled code are deleted.
pub(super) async fn store_component(
    ctx: &Ctx,
    store: &dyn Store,
    files: &Files,
    component: Bytes,
    inspection: Inspection,
    origin: Origin,
) -> Result<()> {
    let size = component.len() as u64;
    let body = stream::iter([Ok(component)]).boxed();
    let lease = files.lease();
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
        origin,
        created_by: ctx.actor.name.to_string(),
        created_at: files.now(),
    };
    let stored = store.put_revision(ctx, revision).await;
    // After any other error the revision may have been stored nevertheless, so the lease is kept until it expires.
    if !matches!(stored, Err(PutRevisionError::Store(_))) {
        lease.release().await;
    }
    stored.map_err(|error| match error {
        PutRevisionError::OtherKind(_) => Error::conflict("plugin_kind", error.to_string()),
        PutRevisionError::OtherBytes(_) => Error::conflict("version_exists", error.to_string()),
        PutRevisionError::Store(error) => error.into(),
    })
}
