use serde::{Serialize, de::DeserializeOwned};

/// Reads a state that [`write()`] serialized; the default in the first call, which has no state.
///
/// An unreadable state is an error: a strategy that restarts from the default may release devices twice. Increase
/// [`STATE_SCHEMA`](crate::Plugin::STATE_SCHEMA) when the format changes.
pub fn read<T: DeserializeOwned + Default>(state: &[u8]) -> Result<T, String> {
    if state.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(state).map_err(|error| format!("invalid state: {error}"))
}

/// Serializes a state for [`read()`]. Fields are written in the order of their declaration, so that the bytes are
/// deterministic; do not use hash maps in a state.
pub fn write<T: Serialize>(state: &T) -> Result<Vec<u8>, String> {
    serde_json::to_vec(state).map_err(|error| format!("cannot serialize the state: {error}"))
}
