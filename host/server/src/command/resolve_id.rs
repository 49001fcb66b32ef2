use anyhow::{Result, anyhow};
use serde_json::Value;

use crate::client::RestClient;

/// Resolves the name or id of an item in a list; `field` is the item's id field.
pub(super) async fn resolve_id(
    rest: &RestClient,
    list: &str,
    field: &str,
    kind: &str,
    name_or_id: &str,
) -> Result<i64> {
    let items = rest.get(list, &[]).await?;
    find(&items, field, name_or_id).ok_or_else(|| anyhow!("there is no {kind} {name_or_id}"))
}

fn find(list: &Value, field: &str, name_or_id: &str) -> Option<i64> {
    let items = list["items"].as_array()?;
    let by_name = items.iter().find(|item| item["name"] == name_or_id);
    let id_of = |item: &Value| item[field].as_i64();
    by_name.and_then(id_of).or_else(|| {
        let name_or_id: i64 = name_or_id.parse().ok()?;
        items.iter().filter_map(id_of).find(|id| *id == name_or_id)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_takes_precedence_over_an_id() {
        let list = json!({"items": [
            {"gateway_id": 1, "name": "dock"}, {"gateway_id": 2, "name": "1"},
        ]});
        for (name_or_id, expected) in [
            ("dock", Some(1)),
            ("1", Some(2)),
            ("2", Some(2)),
            ("3", None),
            ("", None),
        ] {
            assert_eq!(
                find(&list, "gateway_id", name_or_id),
                expected,
                "{name_or_id}"
            );
        }
    }
}
