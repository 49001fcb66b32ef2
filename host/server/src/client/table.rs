//! JSON as text tables.

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;
use tidegate_core::visible_text::visible;

/// A column: its heading, and a JSON pointer into each item.
pub(crate) type Column<'a> = (&'a str, &'a str);

/// A row for each item.
pub(crate) fn list(items: &[Value], columns: &[Column<'_>]) -> String {
    let mut table = bare();
    table.set_header(columns.iter().map(|(heading, _)| *heading));
    for item in items {
        table.add_row(
            columns
                .iter()
                .map(|(_, pointer)| cell(item.pointer(pointer))),
        );
    }
    fit(&mut table, terminal_width());
    trimmed(&table)
}

/// The details of one item: a row for each field that it has.
pub(crate) fn details(item: &Value, rows: &[Column<'_>]) -> String {
    let mut table = bare();
    for (heading, pointer) in rows {
        let text = cell(item.pointer(pointer));
        if !text.is_empty() {
            table.add_row([(*heading).to_owned(), text]);
        }
    }
    fit(&mut table, terminal_width());
    trimmed(&table)
}

/// The width of the terminal in columns; `None` if the output is redirected and must not be wrapped.
fn terminal_width() -> Option<u16> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_col > 0).then_some(size.ws_col)
}

/// Wraps the longest cells first, so that lines fit into the terminal.
fn fit(table: &mut Table, width: Option<u16>) {
    if let Some(width) = width {
        table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width);
    }
}

fn bare() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table
}

fn trimmed(table: &Table) -> String {
    let lines: Vec<String> = table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    lines.join("\n")
}

/// Formats a value: lists separated by commas, objects as JSON, null as empty text.
fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => visible(text).into_owned(),
        Some(Value::Array(items)) => {
            let parts: Vec<String> = items.iter().map(|item| cell(Some(item))).collect();
            parts.join(", ")
        }
        Some(Value::Number(number)) => match number.as_f64() {
            Some(float) if !number.is_i64() && !number.is_u64() => format!("{float:.1}"),
            _ => number.to_string(),
        },
        Some(other) => visible(&other.to_string()).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_is_no_wider_than_the_terminal() {
        let mut table = bare();
        table.set_header(["ID", "WHY"]);
        table.add_row([
            "1",
            "because the failure ceiling was reached in wave canary",
        ]);
        fit(&mut table, Some(30));
        let text = trimmed(&table);
        assert!(text.lines().all(|line| line.len() <= 30), "{text}");
        assert!(text.lines().count() > 2, "{text}");
        fit(&mut table, None);
    }

    #[test]
    fn a_cell_is_one_visible_line() {
        let item = json!({"name": "a\u{1b}[2J\n b  c", "tags": ["\u{202e}x"]});
        let text = details(&item, &[("name", "/name"), ("tags", "/tags")]);
        assert_eq!(text, " name  a\\u{1b}[2J\\n b  c\n tags  \\u{202e}x");
    }

    #[test]
    fn items_become_rows() {
        let items = [
            json!({"id": 1, "counts": {"failed": 3}, "tags": ["a", "b"]}),
            json!({"id": 20, "share": 12.3456}),
        ];
        let text = list(
            &items,
            &[
                ("ID", "/id"),
                ("FAILED", "/counts/failed"),
                ("TAGS", "/tags"),
                ("%", "/share"),
            ],
        );
        assert_eq!(
            text,
            " ID  FAILED  TAGS  %\n 1   3       a, b\n 20                12.3"
        );
        assert_eq!(
            details(&items[0], &[("id", "/id"), ("none", "/none")]),
            " id  1"
        );
    }
}
