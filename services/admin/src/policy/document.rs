//! A policy as people write it: JSON in which only what is set is there.

use serde_json::{Map, Value};
use tmtp_domain::Policy;

use crate::api::Problem;

/// What is set.
pub(super) type Document = Map<String, Value>;

/// Reads what the database holds.
pub(super) fn stored(text: &str) -> Result<Document, Problem> {
    serde_json::from_str(text).map_err(|error| {
        tracing::error!(%error, "the policy of a site is no JSON object");
        Problem::internal()
    })
}

/// The policy that holds, of one that was checked when it was set. What this release does not know is left out.
pub(super) fn effective(document: &Document) -> Result<Policy, Problem> {
    serde_json::from_value(Value::Object(document.clone())).map_err(|error| {
        tracing::error!(%error, "the policy of a site cannot be read");
        Problem::internal()
    })
}

/// The policy that holds once the document is set, or all that is wrong with it: paths of fields, and what to do.
pub(super) fn check(document: &Document) -> Result<Policy, Vec<(String, String)>> {
    let known = serde_json::to_value(Policy::default()).unwrap_or_default();
    let mut problems = Vec::new();
    unknown_fields(document, &known, "", &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    let value = Value::Object(document.clone());
    let policy: Policy = serde_path_to_error::deserialize(value)
        .map_err(|error| vec![(error.path().to_string(), error.into_inner().to_string())])?;
    let problems = policy.validate();
    if problems.is_empty() { Ok(policy) } else { Err(problems) }
}

/// Fields that a policy does not have. Reading one is lenient, because the next release may know more of them.
fn unknown_fields(document: &Document, known: &Value, path: &str, problems: &mut Vec<(String, String)>) {
    for (field, value) in document {
        let path = if path.is_empty() { field.clone() } else { format!("{path}.{field}") };
        match (known.get(field), value) {
            (None, _) => problems.push((path, "a policy has no such field".to_owned())),
            (Some(known), Value::Object(inner)) => unknown_fields(inner, known, &path, problems),
            (Some(_), _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(value: Value) -> Document {
        serde_json::from_value(value).unwrap_or_default()
    }

    /// Goal: whatever is wrong is named by its path; method: unknown fields, wrong types, wrong values.
    #[test]
    fn checked() {
        let paths = |value| {
            let problems = check(&document(value)).err().unwrap_or_default();
            problems.into_iter().map(|(path, _)| path).collect::<Vec<_>>()
        };
        assert!(paths(json!({})).is_empty());
        assert_eq!(paths(json!({ "posts": { "x": 1 }, "y": {} })), ["posts.x", "y"]);
        assert_eq!(paths(json!({ "posts": { "per_minute": { "z": 1 } } })), ["posts.per_minute.z"]);
        assert_eq!(paths(json!({ "posts": { "per_minute": "many" } })), ["posts.per_minute"]);
        assert_eq!(paths(json!({ "groups": { "create": "members" } })), ["groups.create"]);
        assert_eq!(paths(json!({ "names": { "reserved": ["a", 5] } })), ["names.reserved[1]"]);
        assert_eq!(paths(json!({ "pings": { "per_day": 0 } })), ["pings.per_day"]);
    }
}
