use tidegate_core::{
    device::Device,
    device_fields::DEVICE_FIELDS,
    selector::{Selector, parse},
    update::UpdateStatus,
};

use crate::{
    Caches, Ctx, Error, Result,
    overdue::{overdue, shown},
    ports::{
        AttributeChange, DeviceFilter, DeviceSort, Page, PageRequest, Store, UpdateFilter,
        UpdateRow,
    },
};

/// The device of this id.
pub async fn get(ctx: &Ctx, store: &dyn Store, caches: &Caches, device_id: &str) -> Result<Device> {
    let overdue = overdue(store, caches, ctx.tenant, ctx.now).await?;
    let device = get_stored(ctx, store, device_id).await?;
    Ok(shown(device, overdue.as_ref(), ctx.now))
}

/// The device of this id with its stored state, which is never `overdue`.
pub async fn get_stored(ctx: &Ctx, store: &dyn Store, device_id: &str) -> Result<Device> {
    let device = store.device(ctx.tenant, device_id).await?;
    device.ok_or_else(|| Error::not_found("device", device_id))
}

/// Lists devices.
pub async fn list(
    ctx: &Ctx,
    store: &dyn Store,
    caches: &Caches,
    filter: &DeviceFilter,
    page: PageRequest,
) -> Result<Page<Device>> {
    let overdue = overdue(store, caches, ctx.tenant, ctx.now).await?;
    let overdue = overdue.as_ref();
    let Page { items, total } = store
        .list_devices(ctx.tenant, filter, overdue, page)
        .await?;
    let items = items.into_iter();
    Ok(Page {
        items: items
            .map(|device| shown(device, overdue, ctx.now))
            .collect(),
        total,
    })
}

/// Lists a device's updates, newest first.
pub async fn updates(
    ctx: &Ctx,
    store: &dyn Store,
    device_id: &str,
    status: Option<UpdateStatus>,
    page: PageRequest,
) -> Result<Page<UpdateRow>> {
    let device = get_stored(ctx, store, device_id).await?;
    let filter = UpdateFilter {
        campaign: None,
        device: Some(device.key),
        status,
    };
    Ok(store.list_updates(ctx.tenant, &filter, page).await?)
}

/// Attribute changes from a device's reports, newest first.
pub async fn attribute_changes(
    ctx: &Ctx,
    store: &dyn Store,
    device_id: &str,
    page: PageRequest,
) -> Result<Page<AttributeChange>> {
    let changes = store.attribute_changes(ctx.tenant, device_id, page).await?;
    changes.ok_or_else(|| Error::not_found("device", device_id))
}

impl DeviceFilter {
    /// The devices that match a selector in RSQL.
    pub fn parse_selector(text: &str) -> Result<Selector> {
        parse(text, &DEVICE_FIELDS)
            .map_err(|error| Error::invalid("invalid_selector", "selector", error.to_string()))
    }

    /// The sort key and whether its order is descending: `field`, `field:asc` or `field:desc`.
    pub fn parse_sort(text: &str) -> Result<(DeviceSort, bool)> {
        let (field, direction) = text.split_once(':').unwrap_or((text, "asc"));
        let sort = field.parse().map_err(|_| bad_sort())?;
        match direction {
            "asc" => Ok((sort, false)),
            "desc" => Ok((sort, true)),
            _ => Err(bad_sort()),
        }
    }
}

fn bad_sort() -> Error {
    let message = "must be device_id, name, last_seen, sw_version, hw_model, feed, mode, state or created_at, with `:asc` \
                   or `:desc`";
    Error::invalid("invalid_sort", "sort", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sort_is_a_field_and_a_direction() {
        let parse = DeviceFilter::parse_sort;
        assert_eq!(parse("name").ok(), Some((DeviceSort::Name, false)));
        assert_eq!(
            parse("last_seen:desc").ok(),
            Some((DeviceSort::LastSeen, true))
        );
        assert!(parse("name:up").is_err());
        assert!(parse("secret").is_err());
    }
}
