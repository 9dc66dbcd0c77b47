//! What is made from its source and kept beside it: the table of values in the chart's README, from the comments in
//! `values.yaml`; and the programs' settings in `values.schema.json`, from the structs that the programs read.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};

use serde_json::Value;
use tmtp_chassis::schemars::JsonSchema;
use tmtp_chassis::schemars::generate::SchemaSettings;

use crate::release::fields;
use crate::yaml;

/// Between these the table stands in the README.
const BEGIN: &str = "<!-- values: made from values.yaml -->\n";
const END: &str = "<!-- end of values -->\n";

/// A value with what its comment says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Documented {
    /// As `gateway.service.port`.
    pub path: String,
    /// What it is, in words.
    pub meaning: String,
}

/// The values that have a comment beginning with `# --`, in their order.
///
/// # Errors
/// When a comment belongs to no value.
pub fn documented(text: &str) -> Result<Vec<Documented>> {
    let mut found = Vec::new();
    let mut above: Vec<(usize, String)> = Vec::new();
    let mut meaning: Option<String> = None;
    for line in text.lines() {
        let bare = line.trim_start();
        let indent = line.len() - bare.len();
        if let Some(begin) = bare.strip_prefix("# --") {
            ensure!(meaning.is_none(), "a comment without a value: {}", meaning.unwrap_or_default());
            meaning = Some(begin.trim().to_owned());
        } else if let (Some(more), Some(meaning)) = (bare.strip_prefix('#'), meaning.as_mut()) {
            meaning.push(' ');
            meaning.push_str(more.trim());
        } else if let Some((key, _)) = bare.split_once(':').filter(|_| !bare.starts_with('#')) {
            above.retain(|(outer, _)| *outer < indent);
            above.push((indent, key.to_owned()));
            if let Some(meaning) = meaning.take() {
                let keys: Vec<&str> = above.iter().map(|(_, key)| key.as_str()).collect();
                found.push(Documented { path: keys.join("."), meaning });
            }
        }
    }
    ensure!(meaning.is_none(), "the last comment has no value");
    Ok(found)
}

/// Paths of values that no comment explains, neither their own nor one of a value around them.
///
/// # Errors
/// When the text is no YAML.
pub fn unexplained(text: &str) -> Result<Vec<String>> {
    let explained: Vec<String> = documented(text)?.into_iter().map(|value| value.path).collect();
    let values = yaml(text)?.into_iter().next().context("no values")?;
    let mut found = Vec::new();
    walk("", &values, &explained, &mut found);
    Ok(found)
}

fn walk(path: &str, value: &Value, explained: &[String], found: &mut Vec<String>) {
    if explained.iter().any(|known| known == path) {
        return;
    }
    match value.as_object().filter(|fields| !fields.is_empty()) {
        Some(_) => fields(value).for_each(|(key, inner)| {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            walk(&path, inner, explained, found);
        }),
        None => found.push(path.to_owned()),
    }
}

/// The README with its table as it should be.
///
/// # Errors
/// When the README has no place for it, or a value has no default.
pub fn readme(readme: &str, values: &str) -> Result<String> {
    let (before, rest) = readme.split_once(BEGIN).context("the README has no beginning of the table")?;
    let (_, after) = rest.split_once(END).context("the README has no end of the table")?;
    let defaults = yaml(values)?.into_iter().next().context("no values")?;
    let mut table = String::from("| value | default | is |\n|---|---|---|\n");
    for Documented { path, meaning } in documented(values)? {
        let pointer = format!("/{}", path.replace('.', "/"));
        let default = defaults.pointer(&pointer).with_context(|| format!("{path} has no default"))?;
        let meaning = meaning.replace('|', "\\|");
        // Writing to a String cannot fail.
        let _ = writeln!(table, "| `{path}` | `{default}` | {meaning} |");
    }
    Ok([before, BEGIN, &table, END, after].concat())
}

/// The schema of values with the settings of the programs as they are now.
///
/// # Errors
/// When it is no JSON object.
pub fn schema(text: &str) -> Result<Value> {
    let mut schema: Value = serde_json::from_str(text).context("the schema is no JSON")?;
    let definitions = schema["$defs"].as_object_mut().context("the schema has no $defs")?;
    definitions.insert("gatewayConfig".to_owned(), settings::<tmtp_gateway::Config>());
    definitions.insert("workerConfig".to_owned(), settings::<tmtp_worker::Config>());
    definitions.insert("adminConfig".to_owned(), settings::<tmtp_admin::Config>());
    Ok(schema)
}

/// What can be set of a program.
fn settings<C: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<C>();
    for name in ["$schema", "title"] {
        schema.remove(name);
    }
    schema.to_value()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: &str =
        "# Head.\n\na:\n  # -- One\n  # and more.\n  b: 1\n  c: {}\n# -- Two.\nd:\n  e: [x]\n";

    /// Goal: comments reach their values, over lines and at any depth; method: a small file.
    #[test]
    fn comments_belong_to_values() {
        let found = documented(VALUES).unwrap();
        let pairs: Vec<_> = found.iter().map(|value| (value.path.as_str(), value.meaning.as_str())).collect();
        assert_eq!(pairs, [("a.b", "One and more."), ("d", "Two.")]);
        assert_eq!(unexplained(VALUES).unwrap(), ["a.c"]);
        assert!(documented("a: 1\n# -- Nothing\n").is_err());
    }

    /// Goal: the table replaces the old one and nothing else; method: a README with an old line.
    #[test]
    fn the_table_is_replaced() {
        let old = format!("Before\n{BEGIN}old\n{END}After\n");
        let new = readme(&old, VALUES).unwrap();
        assert!(new.starts_with("Before\n") && new.ends_with("After\n") && !new.contains("old"), "{new}");
        assert!(new.contains("| `a.b` | `1` | One and more. |\n"), "{new}");
        assert_eq!(readme(&new, VALUES).unwrap(), new);
        assert!(readme("nothing", VALUES).is_err());
    }
}
