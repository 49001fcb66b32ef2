use std::time::Duration;

use async_trait::async_trait;
use tidegate_core::reporting_clock::ReportingClock;
use tidegate_engine::ports::{Beat, Clock, ClockAfterBeat, Clocks, StoreError};

use super::SqlStore;
use crate::reporting_clock;

#[async_trait]
impl Clocks for SqlStore {
    async fn reporting_clock(&self) -> Result<ReportingClock, StoreError> {
        reporting_clock::read(&self.database).await
    }

    async fn longest_interval_of_updated_devices(&self) -> Result<Option<Duration>, StoreError> {
        reporting_clock::longest_interval_of_updated_devices(&self.database).await
    }

    async fn record_beat(
        &self,
        time: &dyn Clock,
        beat: Beat,
    ) -> Result<ClockAfterBeat, StoreError> {
        reporting_clock::record_beat(&self.database, time, beat).await
    }
}
