use axum::{Json, extract::State};
use serde::Deserialize;
use tidegate_engine::{
    Ctx, firmware,
    ports::{FirmwareFilter, PageRequest},
};
use utoipa::IntoParams;

use super::FirmwareBody;
use crate::{
    AppState,
    problem::Result,
    rest::{
        query::{Query, QueryParams, page},
        response::List,
    },
};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct FirmwareQuery {
    device_model: Option<String>,
    manufacturer: Option<String>,
    version: Option<String>,
    tag: Option<String>,
    is_beta: Option<bool>,
    is_security_update: Option<bool>,
    /// 1 to 500, 50 when left out.
    limit: Option<u32>,
    offset: Option<u64>,
}

impl Query for FirmwareQuery {
    type Params = (FirmwareFilter, PageRequest);

    fn check(self) -> Result<Self::Params> {
        let filter = FirmwareFilter {
            device_model: self.device_model,
            manufacturer: self.manufacturer,
            version: self.version,
            tag: self.tag,
            is_beta: self.is_beta,
            is_security_update: self.is_security_update,
        };
        Ok((filter, page(self.limit, self.offset)?))
    }
}

/// Lists firmware that is not deleted, newest first.
#[utoipa::path(
    get, path = "/firmware", tag = "firmware", params(FirmwareQuery),
    responses((status = 200, description = "A page of firmware, newest first.", body = List<FirmwareBody>)),
)]
pub(crate) async fn list_firmware(
    ctx: Ctx,
    State(state): State<AppState>,
    QueryParams((filter, page)): QueryParams<FirmwareQuery>,
) -> Result<Json<List<FirmwareBody>>> {
    let found = firmware::list(&ctx, state.engine.store(), &filter, page).await?;
    let items = found.items.into_iter().map(FirmwareBody::from).collect();
    Ok(Json(List::new(items, found.total, page)))
}
