//! Tables for people. What they show comes from others, so it is made fit for a terminal.

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use serde_json::Value;

use crate::text::printable;

/// A column: its head, and where in an entry its value is (a JSON pointer).
pub(crate) type Column = (&'static str, &'static str);

/// Prints entries, or says that there are none.
pub(crate) fn print(columns: &[Column], entries: &[Value]) {
    if entries.is_empty() {
        println!("none");
        return;
    }
    let mut table = Table::new();
    table.load_preset(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|(head, _)| *head));
    for entry in entries {
        table.add_row(columns.iter().map(|(_, place)| entry.pointer(place).map_or_else(String::new, cell)));
    }
    for line in table.lines() {
        println!("{}", line.trim_end());
    }
}

/// Prints one entry, a line for each of its fields.
pub(crate) fn print_one(entry: &Value) {
    let Some(fields) = entry.as_object() else { return };
    let width = fields.keys().map(|name| name.chars().count()).max().unwrap_or_default();
    for (name, value) in fields {
        println!("{:width$}  {}", printable(name), cell(value));
    }
}

/// A value in one line.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => printable(text),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        other => printable(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Goal: one line for every value, free of what a terminal obeys; method: one of each kind.
    #[test]
    fn cells() {
        assert_eq!(cell(&json!(null)), "-");
        assert_eq!(cell(&json!(true)), "yes");
        assert_eq!(cell(&json!(7)), "7");
        assert_eq!(cell(&json!(["a", "b\u{1b}[2J"])), "a, b\\u{1b}[2J");
        assert_eq!(cell(&json!({"a": 1})), "{\"a\":1}");
    }
}
