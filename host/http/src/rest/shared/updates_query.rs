use serde::Deserialize;
use tidegate_core::update::UpdateStatus;
use tidegate_engine::ports::PageRequest;
use utoipa::IntoParams;

use crate::{
    problem::Result,
    rest::{
        enum_field::UpdateStatusField,
        query::{Query, page},
    },
};

/// The parameters of a list of updates.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct UpdatesQuery {
    /// Only updates with this status.
    #[param(inline)]
    status: Option<UpdateStatusField>,
    /// 1 to 500, 50 when left out.
    limit: Option<u32>,
    offset: Option<u64>,
}

impl Query for UpdatesQuery {
    type Params = (Option<UpdateStatus>, PageRequest);

    fn check(self) -> Result<Self::Params> {
        let status = self.status.map(|status| status.0);
        Ok((status, page(self.limit, self.offset)?))
    }
}
