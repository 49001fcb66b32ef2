//! The input of `wants`, which is the same in all versions of the contract.

use std::marker::PhantomData;

use serde::{Deserialize, Serialize};
use tidegate_core::plugin::Interests;

use super::{CallInput, Config, MetaOutput as _, Version};
use crate::limits::{Budget, SandboxLimits};

/// A config, JSON text.
#[derive(Serialize, Deserialize)]
#[serde(transparent, bound = "")]
pub(super) struct WantsInput<V>(String, PhantomData<V>);

impl<V: Version> CallInput for WantsInput<V> {
    type Param = str;
    type Question = Config;
    type Output = V::Interests;

    fn param(&self) -> &str {
        &self.0
    }

    fn budget(&self, limits: &SandboxLimits) -> Budget {
        limits.call_budget()
    }

    fn accept(&self, output: V::Interests) -> Result<Interests, String> {
        output.check()?;
        output.accept()
    }

    fn question(&self) -> Result<Config, String> {
        Ok(Config(self.0.clone()))
    }

    fn output(answer: Interests) -> V::Interests {
        answer.into()
    }
}

impl<V> From<Config> for WantsInput<V> {
    fn from(Config(config): Config) -> Self {
        Self(config, PhantomData)
    }
}

impl<V> PartialEq for WantsInput<V> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
