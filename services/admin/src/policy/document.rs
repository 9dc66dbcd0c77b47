//! A policy as people write it: JSON in which only what is set is there.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tmtp_domain::{Policy, Registration};
use utoipa::ToSchema;

use crate::api::Problem;
use crate::api::words::RegistrationWord;

/// The field that says who may register.
const REGISTRATION: &str = "registration";

/// What is set.
pub(crate) type Document = Map<String, Value>;

/// Who may register at a site, and what it allows its members.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct SitePolicy {
    /// Who may register: `open`, everybody who can connect; `closed`, nobody; `invite`, who has an invite; `oidc`, whom a
    /// provider of the site vouches for, and who has an invite; `approval`, everybody, but an admin has to approve first,
    /// unless they have an invite that says nothing of that. `closed` when it is not set.
    #[serde(default)]
    registration: RegistrationWord,
    /// All the rest, as homes and gateways read it: they have the registration with the site.
    #[serde(flatten)]
    rules: Policy,
}

/// Reads what the database holds.
pub(super) fn stored(text: &str) -> Result<Document, Problem> {
    serde_json::from_str(text).map_err(|error| {
        tracing::error!(%error, "the policy of a site is no JSON object");
        Problem::internal()
    })
}

/// The policy that holds, of one that was checked when it was set. What this release does not know is left out.
pub(super) fn effective(document: &Document) -> Result<SitePolicy, Problem> {
    serde_json::from_value(Value::Object(document.clone())).map_err(|error| {
        tracing::error!(%error, "the policy of a site cannot be read");
        Problem::internal()
    })
}

/// The policy that holds once the document is set, or all that is wrong with it: paths of fields, and what to do.
pub(super) fn check(document: &Document) -> Result<SitePolicy, Vec<(String, String)>> {
    let known = serde_json::to_value(SitePolicy::default()).unwrap_or_default();
    let mut problems = Vec::new();
    unknown_fields(document, &known, "", &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut rest = document.clone();
    // By itself: in a flattened whole nobody would say which field is wrong.
    let registration = match rest.remove(REGISTRATION).map(serde_json::from_value).transpose() {
        Ok(registration) => registration.unwrap_or_default(),
        Err(error) => return Err(vec![(REGISTRATION.to_owned(), error.to_string())]),
    };
    let rules: Policy = serde_path_to_error::deserialize(Value::Object(rest))
        .map_err(|error| vec![(error.path().to_string(), error.into_inner().to_string())])?;
    let problems = rules.validate();
    if problems.is_empty() { Ok(SitePolicy { registration, rules }) } else { Err(problems) }
}

/// The document with another mode of registration.
pub(super) fn with_registration(document: &Document, mode: Registration) -> Document {
    let mut document = document.clone();
    document.insert(REGISTRATION.to_owned(), mode.as_str().into());
    document
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
    use tmtp_domain::policy::PresencePolicy;

    use super::*;
    use crate::api::words::Word;

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
        for wrong in [json!("sometimes"), json!(1), json!({}), json!(null)] {
            assert_eq!(paths(json!({ "registration": wrong, "posts": {} })), ["registration"]);
        }
        for mode in Registration::ALL {
            let set = with_registration(&document(json!({ "presence": { "allowed": false } })), mode);
            let rules = Policy { presence: PresencePolicy { allowed: false }, ..Policy::default() };
            let holds = SitePolicy { registration: Word(mode), rules };
            assert_eq!(check(&set).as_ref(), Ok(&holds));
            assert_eq!(effective(&set).unwrap(), holds);
        }
        assert_eq!(check(&document(json!({}))).unwrap().registration, Word(Registration::Closed));
    }
}
