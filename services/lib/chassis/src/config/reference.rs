//! The reference of a program's settings: every one with its variable, its kind and its default, from the same structs
//! that are read. Never shows a secret: their defaults are unset.

use std::fmt::Write as _;

use serde_json::Value as Json;
use toml::{Table, Value};

use super::Config;
use super::sample::schema;

/// Settings that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Where they stand in the file: `limits`, `bodies.s3`.
    pub key: String,
    /// What they are about.
    pub description: String,
    /// In the order of the sample file.
    pub settings: Vec<Setting>,
}

/// Something that can be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// With its section: `limits.links_max`.
    pub key: String,
    /// What it does, in Markdown.
    pub description: String,
    /// What may be set, in words.
    pub kind: String,
    /// As the file has it; `None` when it is not set by default.
    pub default: Option<String>,
    /// May also be given as the path of a file that holds it, under the same name with `_file` behind it.
    pub from_file: bool,
}

impl Setting {
    /// The environment variable that sets it.
    pub fn variable(&self) -> String {
        format!("TMTP_{}", self.key.to_uppercase().replace('.', "__"))
    }
}

/// All settings of `C`.
///
/// Fails only if the defaults cannot be written as TOML, which is a bug in `C`.
pub fn sections<C: Config>() -> Result<Vec<Section>, toml::ser::Error> {
    let mut found = Vec::new();
    collect(&mut found, "", &Table::try_from(C::default())?, &schema::<C>());
    Ok(found)
}

/// All settings of `C` as Markdown, for people who run `program`.
///
/// Fails as [`sections`] does.
pub fn reference<C: Config>(program: &str) -> Result<String, toml::ser::Error> {
    let mut text = format!(
        "# Settings of `{program}`\n\nWritten by `{program} reference-config`; what it means as a whole is in the \
         README beside it.\n"
    );
    for section in sections::<C>()? {
        let _ = write!(text, "\n## `[{}]`\n\n{}\n", section.key, paragraphs(&section.description, ""));
        for setting in section.settings {
            let default = setting.default.as_deref().map_or("not set".to_owned(), |toml| format!("`{toml}`"));
            let file = if setting.from_file { ", or the path of a file that holds it: `_FILE`" } else { "" };
            let _ = write!(
                text,
                "\n- **`{}`**: {}; default {default}\n\n  `{}`{file}\n\n  {}\n",
                setting.key,
                setting.kind,
                setting.variable(),
                paragraphs(&setting.description, "  "),
            );
        }
    }
    Ok(text)
}

/// Adds the section at `path`, and those below it.
fn collect(found: &mut Vec<Section>, path: &str, table: &Table, schema: &Json) {
    let properties = &schema["properties"];
    let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let present =
        table.iter().filter(|(_, value)| !value.is_table()).map(|(name, value)| (name, Some(value)));
    let absent = properties.as_object().into_iter().flatten().map(|(name, _)| name);
    let absent = absent.filter(|name| !table.contains_key(*name)).map(|name| (name, None));
    let settings: Vec<Setting> =
        present.chain(absent).map(|(name, value)| setting(join(name), value, &properties[name])).collect();
    if !settings.is_empty() {
        found.push(Section { key: path.to_owned(), description: described(schema), settings });
    }
    for (name, inner) in table.iter().filter_map(|(name, value)| Some((name, Value::as_table(value)?))) {
        collect(found, &join(name), inner, &properties[name]);
    }
}

fn setting(key: String, default: Option<&Value>, schema: &Json) -> Setting {
    let from_file = default.is_some_and(Value::is_str) && kinds(schema).contains(&"string");
    Setting {
        key,
        description: described(schema),
        kind: kind(schema),
        // An empty text stands for nothing, and a secret is never set by default.
        default: default.filter(|value| value.as_str() != Some("")).map(ToString::to_string),
        from_file,
    }
}

fn described(schema: &Json) -> String {
    schema["description"].as_str().unwrap_or_default().to_owned()
}

/// What may be set, in words.
fn kind(schema: &Json) -> String {
    let choices = choices(schema);
    if !choices.is_empty() {
        return format!("one of {}", choices.join(", "));
    }
    if schema["writeOnly"] == true {
        return "a secret".to_owned();
    }
    if schema["examples"][0].is_string() {
        return "a time, such as `1m 30s`".to_owned();
    }
    let word = |name: &&str| match *name {
        "string" => "text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "`true` or `false`",
        "array" => "a list of texts",
        _ => "a value",
    };
    kinds(schema).iter().map(word).next().unwrap_or("a value").to_owned()
}

/// The JSON types that the schema allows, without `null`, which stands for what is not set.
fn kinds(schema: &Json) -> Vec<&str> {
    let alone = schema["type"].as_str();
    let several = schema["type"].as_array().into_iter().flatten().filter_map(Json::as_str);
    alone.into_iter().chain(several).filter(|name| *name != "null").collect()
}

/// The texts that an enumeration allows.
fn choices(schema: &Json) -> Vec<String> {
    let several = ["oneOf", "anyOf"].iter().flat_map(|name| schema[*name].as_array().into_iter().flatten());
    let plain = schema["enum"].as_array().into_iter().flatten();
    let constants = several.flat_map(|variant| {
        let listed = variant["enum"].as_array().into_iter().flatten();
        listed.chain(Some(&variant["const"]))
    });
    plain.chain(constants).filter_map(Json::as_str).map(|text| format!("`{text}`")).collect()
}

/// A description as a paragraph for each of its own, each on one line and behind this indentation.
fn paragraphs(description: &str, indent: &str) -> String {
    let paragraphs =
        description.split("\n\n").map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
    paragraphs.collect::<Vec<_>>().join(&format!("\n\n{indent}"))
}
