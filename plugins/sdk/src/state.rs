use serde::{Serialize, de::DeserializeOwned};

/// Reads the state that [`write()`] made. At the first call there is none: then it is the default.
///
/// A state that cannot be read is an error and not a fresh start, for a strategy that forgets may release twice; raise
/// [`STATE_SCHEMA`](crate::Plugin::STATE_SCHEMA) when the shape changes.
pub fn read<T: DeserializeOwned + Default>(state: &[u8]) -> Result<T, String> {
    if state.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(state).map_err(|error| format!("the state cannot be read: {error}"))
}

/// Makes the bytes that [`read()`] reads. Fields come out as they are declared, so the bytes are the same every time;
/// keep hash maps out of a state.
pub fn write<T: Serialize>(state: &T) -> Result<Vec<u8>, String> {
    serde_json::to_vec(state).map_err(|error| format!("the state cannot be written: {error}"))
}
