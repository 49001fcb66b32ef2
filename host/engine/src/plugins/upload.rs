use bytes::Bytes;
use futures::{StreamExt as _, stream};
use tidegate_core::{
    id::Digest,
    plugin::{Origin, PluginName},
};

use crate::{
    Authorized, Ctx, Error, Files, PluginCalls, Publisher, Result,
    ports::{Inspection, NewRevision, Revision, Store, StoreError},
};

/// Uploads a component: the sandbox inspects it, then it is stored as a revision of the plugin that it names. The vendor of
/// the built-in plugins is reserved. Repeating an upload changes nothing.
pub async fn upload(
    ctx: &Authorized<Publisher>,
    store: &dyn Store,
    files: &Files,
    plugins: &PluginCalls,
    component: Bytes,
) -> Result<Revision> {
    let inspection = plugins.inspect(Some(ctx.tenant), &component).await?;
    let plugin = inspection.description.name.clone();
    let digest = inspection.digest;
    if !plugins.built_ins().allow(&plugin, digest) {
        return Err(Error::conflict("reserved_name", reserved_name(&plugin)));
    }
    store_component(ctx, store, files, component, inspection, Origin::Upload).await?;
    super::revision(ctx, store, &plugin, digest).await
}

/// Stores an inspected component: first its bytes, then its revision. If the revision is refused, the bytes are
/// deleted.
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
    if matches!(stored, Ok(()) | Err(StoreError::Conflict(_))) {
        lease.release().await;
    }
    stored.map_err(|error| match error {
        StoreError::Conflict(message) => Error::conflict("plugin_kind", message),
        error => error.into(),
    })
}

/// Why a component that is not built in is refused under the vendor of the built-in plugins.
pub(super) fn reserved_name(plugin: &PluginName) -> String {
    format!(
        "the name {plugin} is reserved for a built-in plugin, and this component is none of this server: name it \
         `your-vendor/{}` in its description, or build the server again with it",
        plugin.name()
    )
}
