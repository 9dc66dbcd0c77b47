//! What is made from other files is up to date.

use std::collections::BTreeSet;

use serde_json::Value;
use tmtp_chart::{reference, yaml};

use crate::{chart, compare, renews};

/// Goal: the README's table is that of the values, and no value is without words; method: make it, and compare.
#[test]
fn the_table_of_values() {
    let folder = chart().folder().to_owned();
    let values = std::fs::read_to_string(folder.join("values.yaml")).unwrap();
    assert_eq!(reference::unexplained(&values).unwrap(), Vec::<String>::new());
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    compare(&folder.join("README.md"), &reference::readme(&readme, &values).unwrap());
}

/// Goal: a setting that a program has can be given, and no other; method: make the part of the schema that comes from the
/// programs' structs, and compare.
#[test]
fn the_schema_has_the_programs_settings() {
    let path = chart().folder().join("values.schema.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let expected = reference::schema(&text).unwrap();
    if renews() {
        std::fs::write(&path, serde_json::to_string_pretty(&expected).unwrap() + "\n").unwrap();
    }
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert!(kept == expected, "values.schema.json is old: run this test with POSTERN_RENEW=1");
}

/// Goal: schema and defaults know the same values; method: walk through both.
#[test]
fn the_schema_has_the_values() {
    let folder = chart().folder().to_owned();
    let values = yaml(&std::fs::read_to_string(folder.join("values.yaml")).unwrap()).unwrap().remove(0);
    let text = std::fs::read_to_string(folder.join("values.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    let (mut known, mut given) = (BTreeSet::new(), BTreeSet::new());
    properties("", &schema, &mut known);
    leaves("", &values, &known, &mut given);
    // Helm's own.
    known.remove("global");
    assert_eq!(known, given);
}

/// The paths of all properties that have none below themselves. References end a path: what they lead to is not the chart's.
fn properties(path: &str, schema: &Value, found: &mut BTreeSet<String>) {
    match schema["properties"].as_object() {
        Some(below) => {
            assert_eq!(schema["additionalProperties"], false, "{path} takes anything");
            for (name, inner) in below {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                properties(&path, inner, found);
            }
        }
        None => drop(found.insert(path.to_owned())),
    }
}

/// The paths of all values, no deeper than the schema knows them.
fn leaves(path: &str, value: &Value, known: &BTreeSet<String>, found: &mut BTreeSet<String>) {
    match value.as_object().filter(|_| !known.contains(path)) {
        Some(below) => {
            for (name, inner) in below {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                leaves(&path, inner, known, found);
            }
        }
        None => drop(found.insert(path.to_owned())),
    }
}
