use tidegate_core::{
    device::Device,
    selector::{DEVICE_FIELDS, parse},
};

use crate::{
    Ctx, Error, Result,
    ports::{DeviceFilter, DeviceSort, Page, PageRequest, Store},
};

/// Lists devices that match `q` (RSQL), sorted by `sort` (`field` or `field:desc`).
pub async fn list(
    ctx: &Ctx,
    store: &dyn Store,
    q: Option<&str>,
    sort: Option<&str>,
    page: PageRequest,
) -> Result<Page<Device>> {
    let selector = q.map(|q| parse(q, &DEVICE_FIELDS)).transpose();
    let selector = selector
        .map_err(|error| Error::invalid("invalid_selector", "selector", error.to_string()))?;
    let (sort, descending) = sort.map_or(Ok((DeviceSort::default(), false)), parse_sort)?;
    let filter = DeviceFilter {
        selector,
        sort,
        descending,
    };
    Ok(store.list_devices(ctx.tenant, &filter, page).await?)
}

fn parse_sort(text: &str) -> Result<(DeviceSort, bool)> {
    let (field, direction) = text.split_once(':').unwrap_or((text, "asc"));
    let sort = field.parse().map_err(|_| bad_sort())?;
    match direction {
        "asc" => Ok((sort, false)),
        "desc" => Ok((sort, true)),
        _ => Err(bad_sort()),
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
        assert_eq!(parse_sort("name").ok(), Some((DeviceSort::Name, false)));
        assert_eq!(
            parse_sort("last_seen:desc").ok(),
            Some((DeviceSort::LastSeen, true))
        );
        assert!(parse_sort("name:up").is_err());
        assert!(parse_sort("secret").is_err());
    }
}
