//! The versions of the contract that this server has.

use tidegate_core::visible_text::visible;

#[cfg(feature = "draft-contract")]
use crate::draft_1_1::Draft1_1;
use crate::{
    contract::{Contract, RecordedQuestion, Version as _},
    limits::{MAX_REASON_BYTES, truncate},
    names::CallName,
    record::{self, InvalidRecord, RawRecordedInput},
    since_1_0::Since1_0,
};

/// Versions of the contract, the oldest first.
#[derive(Clone, Copy)]
pub(crate) struct Versions {
    contracts: &'static [&'static dyn Contract],
    /// As revisions are stored with them.
    pub(crate) names: &'static [&'static str],
}

impl Versions {
    /// The versions that servers speak.
    pub(crate) const SPOKEN: Self = Self {
        contracts: &[&Since1_0],
        names: &[Since1_0::NAMES.version],
    };

    /// All versions of which records and goldens are read.
    pub(crate) const ALL: Self = Self {
        contracts: &[
            &Since1_0,
            #[cfg(feature = "draft-contract")]
            &Draft1_1,
        ],
        names: &[
            Since1_0::NAMES.version,
            #[cfg(feature = "draft-contract")]
            Draft1_1::NAMES.version,
        ],
    };

    pub(crate) fn iter(self) -> impl DoubleEndedIterator<Item = &'static dyn Contract> {
        self.contracts.iter().copied()
    }

    pub(crate) fn newest(self) -> &'static dyn Contract {
        let newest = self.iter().next_back();
        newest.expect("a server speaks a version")
    }

    /// The version with this name in records and goldens; `None`: 1.0.
    pub(crate) fn in_records(self, version: Option<&str>) -> Option<&'static dyn Contract> {
        self.iter()
            .find(|contract| contract.names().in_records == version)
    }

    /// The versions for people: `1.0 and 1.1`.
    pub(crate) fn list(self) -> String {
        let minors: Vec<_> = self.iter().map(|contract| contract.names().minor).collect();
        minors.join(" and ")
    }
}

/// A recorded input.
pub(crate) struct Recorded {
    /// The record, JSON text.
    pub(crate) json: String,
    pub(crate) question: Box<dyn RecordedQuestion>,
}

impl Recorded {
    /// Reads a recorded input in the types of the version for which it was recorded.
    pub(crate) fn read(input: &[u8]) -> Result<Self, InvalidRecord> {
        let json = record::decompress(input)?;
        let raw: RawRecordedInput<'_> = serde_json::from_str(&json)?;
        let shown = |text: &str| visible(truncate(text, MAX_REASON_BYTES)).into_owned();
        let contract = Versions::ALL.in_records(raw.contract).ok_or_else(|| {
            let version = raw.contract.map(shown).unwrap_or_default();
            InvalidRecord::Version(version, Versions::ALL.list())
        })?;
        let call: CallName = raw
            .call
            .parse()
            .map_err(|_| InvalidRecord::Call(shown(raw.call)))?;
        let question = contract.types(call).recorded(&json)?;
        Ok(Self { json, question })
    }
}
