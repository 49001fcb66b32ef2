//! Lists that are stored as one blob, because no statement searches them: 100,000 rows, one for each device, would
//! make the start of a campaign slow.

use tidegate_core::id::DeviceKey;

/// Number of wave members in one row.
pub(crate) const MEMBERS_PER_CHUNK: usize = 4096;
/// Number of selected devices in one row.
pub(crate) const SELECTED_PER_CHUNK: usize = 1024;

/// A blob that has an invalid length.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a packed list of {what} has an invalid length of {bytes} bytes")]
pub(crate) struct InvalidBlob {
    what: &'static str,
    bytes: usize,
}

/// Packs device keys as i64, little endian.
pub(crate) fn pack_keys(keys: &[DeviceKey]) -> Vec<u8> {
    keys.iter().flat_map(|key| key.0.to_le_bytes()).collect()
}

/// Reverses [`pack_keys`].
pub(crate) fn unpack_keys(blob: &[u8]) -> Result<Vec<DeviceKey>, InvalidBlob> {
    let (keys, rest) = blob.as_chunks::<8>();
    if !rest.is_empty() {
        let (what, bytes) = ("device keys", blob.len());
        return Err(InvalidBlob { what, bytes });
    }
    Ok(keys
        .iter()
        .map(|key| DeviceKey(i64::from_le_bytes(*key)))
        .collect())
}

/// The class, wave and position of a device, fixed when the campaign starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MemberSlot {
    pub(crate) key: DeviceKey,
    /// Index of the device class.
    pub(crate) class: u32,
    /// The wave, and the position in it, counted from 0.
    pub(crate) wave: Option<(u32, u32)>,
}

const SLOT_BYTES: usize = 20;
const NO_WAVE: u32 = u32::MAX;

/// Packs slots as key, class, wave and position, little endian.
pub(crate) fn pack_slots(slots: &[MemberSlot]) -> Vec<u8> {
    let mut blob = Vec::with_capacity(slots.len() * SLOT_BYTES);
    for slot in slots {
        let (wave, position) = slot.wave.unwrap_or((NO_WAVE, 0));
        blob.extend(slot.key.0.to_le_bytes());
        blob.extend(slot.class.to_le_bytes());
        blob.extend(wave.to_le_bytes());
        blob.extend(position.to_le_bytes());
    }
    blob
}

/// Finds the slot of a device in a blob that is ordered by key.
pub(crate) fn find_slot(blob: &[u8], key: DeviceKey) -> Result<Option<MemberSlot>, InvalidBlob> {
    let (slots, rest) = blob.as_chunks::<SLOT_BYTES>();
    if !rest.is_empty() {
        let (what, bytes) = ("slots", blob.len());
        return Err(InvalidBlob { what, bytes });
    }
    let found = slots.binary_search_by_key(&key, |slot| unpack_slot(slot).key);
    Ok(found.ok().map(|at| unpack_slot(&slots[at])))
}

fn unpack_slot(bytes: &[u8; SLOT_BYTES]) -> MemberSlot {
    let u32_at =
        |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let wave = u32_at(12);
    MemberSlot {
        key: DeviceKey(i64::from(u32_at(4)) << 32 | i64::from(u32_at(0))),
        class: u32_at(8),
        wave: (wave != NO_WAVE).then(|| (wave, u32_at(16))),
    }
}

/// Packs byte strings: each as its length (u32, little endian), then its bytes.
pub(crate) fn pack_states(states: &[Vec<u8>]) -> Vec<u8> {
    let mut blob = Vec::new();
    for state in states {
        blob.extend((state.len() as u32).to_le_bytes());
        blob.extend(state);
    }
    blob
}

/// Reverses [`pack_states`].
pub(crate) fn unpack_states(mut blob: &[u8]) -> Result<Vec<Vec<u8>>, InvalidBlob> {
    let (what, bytes) = ("plugin states", blob.len());
    let mut states = Vec::new();
    while !blob.is_empty() {
        let (length, rest) = blob
            .split_first_chunk::<4>()
            .ok_or(InvalidBlob { what, bytes })?;
        let (state, rest) = rest
            .split_at_checked(u32::from_le_bytes(*length) as usize)
            .ok_or(InvalidBlob { what, bytes })?;
        states.push(state.to_vec());
        blob = rest;
    }
    Ok(states)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_packed_and_invalid_blobs_are_refused() {
        let keys = vec![DeviceKey(1), DeviceKey(i64::MAX), DeviceKey(-7)];
        assert_eq!(unpack_keys(&pack_keys(&keys)), Ok(keys));
        let error = unpack_keys(&[0; 9]).expect_err("9 is no multiple of 8");
        assert_eq!(
            error.to_string(),
            "a packed list of device keys has an invalid length of 9 bytes"
        );
    }

    #[test]
    fn slots_are_found_by_key() {
        let slot = |key, wave| MemberSlot {
            key: DeviceKey(key),
            class: 3,
            wave,
        };
        let slots = [
            slot(i64::MIN + 2, None),
            slot(5, Some((0, 9))),
            slot(1 << 40, None),
        ];
        let blob = pack_slots(&slots);
        for slot in slots {
            assert_eq!(find_slot(&blob, slot.key), Ok(Some(slot)));
        }
        assert_eq!(find_slot(&blob, DeviceKey(4)), Ok(None));
        assert!(find_slot(&blob[1..], DeviceKey(4)).is_err());
    }

    #[test]
    fn states_are_packed_and_unpacked() {
        let states = vec![vec![1, 2], vec![], vec![3]];
        assert_eq!(unpack_states(&pack_states(&states)), Ok(states));
        assert_eq!(unpack_states(&[]), Ok(vec![]));
        assert!(unpack_states(&[9, 0, 0, 0, 1]).is_err());
    }
}
