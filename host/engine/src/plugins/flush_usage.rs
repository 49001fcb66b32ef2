use crate::{PluginCalls, Result, ports::Store};

/// Writes the plugin usage since the last call. Also called when the server stops. Usage that cannot be written stays
/// for the next call.
pub async fn flush_usage(store: &dyn Store, plugins: &PluginCalls) -> Result<()> {
    let mut result = Ok(());
    for (tenant, usage) in plugins.take_usage() {
        if let Err(error) = store.record_plugin_usage(tenant, usage.clone()).await {
            plugins.restore_usage(tenant, usage);
            result = Err(error.into());
        }
    }
    result
}
