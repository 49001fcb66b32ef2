use anyhow::{Result, anyhow};
use serde_json::Value;

use crate::client::RestClient;

/// The id of one of a list's items, which has it in this field, by its name or else by that id.
pub(super) async fn resolve_id(
    rest: &RestClient,
    list: &str,
    field: &str,
    kind: &str,
    wanted: &str,
) -> Result<i64> {
    let known = rest.get(list, &[]).await?;
    find(&known, field, wanted).ok_or_else(|| anyhow!("there is no {kind} {wanted}"))
}

fn find(list: &Value, field: &str, wanted: &str) -> Option<i64> {
    let items = list["items"].as_array()?;
    let by_name = items.iter().find(|item| item["name"] == wanted);
    let id_of = |item: &Value| item[field].as_i64();
    by_name.and_then(id_of).or_else(|| {
        let wanted: i64 = wanted.parse().ok()?;
        items.iter().filter_map(id_of).find(|id| *id == wanted)
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
        for (wanted, expected) in [
            ("dock", Some(1)),
            ("1", Some(2)),
            ("2", Some(2)),
            ("3", None),
            ("", None),
        ] {
            assert_eq!(find(&list, "gateway_id", wanted), expected, "{wanted}");
        }
    }
}
