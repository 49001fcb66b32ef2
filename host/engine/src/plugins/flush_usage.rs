use crate::{PluginCalls, Result, ports::Store};

/// Writes the plugin usage since the last call. Also called when the server stops.
pub async fn flush_usage(store: &dyn Store, plugins: &PluginCalls) -> Result<()> {
    for (tenant, usage) in plugins.take_usage() {
        store.record_plugin_usage(tenant, usage).await?;
    }
    Ok(())
}
