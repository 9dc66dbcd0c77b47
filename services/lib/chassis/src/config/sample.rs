//! The sample file: a program's defaults as TOML, with the doc comments of the fields as comments.
//!
//! It must read back as exactly the defaults, so that copying it changes nothing.

use std::fmt::Write as _;

use schemars::generate::SchemaSettings;
use serde_json::Value as Json;
use toml::{Table, Value};

use super::Config;

/// Width at which comments are broken, in characters.
const COMMENT_WIDTH: usize = 100;

/// The defaults of `C` as a commented TOML file. A setting that is absent by default is commented out.
///
/// Fails only if the defaults cannot be written as TOML, which is a bug in `C`.
pub fn sample<C: Config>() -> Result<String, toml::ser::Error> {
    let defaults = Table::try_from(C::default())?;
    let mut text = String::new();
    write_table(&mut text, "", &defaults, &schema::<C>());
    Ok(text.trim_start().to_owned())
}

/// What is known of the settings of `C` beside their defaults, as one JSON schema.
pub(super) fn schema<C: Config>() -> Json {
    let settings = SchemaSettings::default().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<C>().to_value()
}

/// Writes the settings of one table, then its sub-tables, as TOML demands.
fn write_table(text: &mut String, path: &str, table: &Table, schema: &Json) {
    let properties = &schema["properties"];
    for (name, value) in table.iter().filter(|(_, value)| !value.is_table()) {
        write_comment(text, &properties[name]);
        let _ = writeln!(text, "{name} = {value}");
    }
    let absent = properties.as_object().into_iter().flatten().filter(|(name, _)| !table.contains_key(*name));
    for (name, property) in absent {
        write_comment(text, property);
        let _ = writeln!(text, "# {name} =");
    }
    for (name, inner) in table.iter().filter_map(|(name, value)| Some((name, Value::as_table(value)?))) {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        write_comment(text, &properties[name]);
        let _ = writeln!(text, "[{path}]");
        write_table(text, &path, inner, &properties[name]);
    }
}

/// Writes a field's description, preceded by an empty line.
fn write_comment(text: &mut String, property: &Json) {
    text.push('\n');
    let description = property["description"].as_str().unwrap_or_default();
    for paragraph in description.split("\n\n") {
        let mut line = String::from("#");
        for word in paragraph.split_whitespace() {
            if line.chars().count() + 1 + word.chars().count() > COMMENT_WIDTH {
                let _ = writeln!(text, "{line}");
                line = String::from("#");
            }
            line.push(' ');
            line.push_str(word);
        }
        if line.len() > 1 {
            let _ = writeln!(text, "{line}");
        }
    }
}
