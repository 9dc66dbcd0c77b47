//! Secrets are in Secrets, and nowhere else.

use serde_json::Value;

use crate::Release;
use crate::release::{list, text};

/// Words in the name of a variable that holds a secret, or the path of one.
const SECRET_WORDS: &[&str] = &["PASSWORD", "SECRET", "TOKEN", "KEY", "URL", "CREDENTIAL"];

/// Shorter texts appear by accident.
const TELLING: usize = 8;

pub(super) fn hidden(release: &Release) -> Vec<String> {
    let mut problems = Vec::new();
    for pod in release.pods() {
        for container in pod.containers() {
            let title = format!("{}, container {}", pod.owner.title(), text(container, "/name"));
            for variable in list(&container["env"]).filter(|variable| variable.get("value").is_some()) {
                let name = text(variable, "/name");
                if SECRET_WORDS.iter().any(|word| name.contains(word)) && !name.ends_with("_FILE") {
                    problems.push(format!("{title} has {name} in plain text"));
                }
            }
        }
    }
    let made = made(release);
    for manifest in release.manifests.iter().filter(|manifest| manifest.kind() != "Secret") {
        let mut texts = Vec::new();
        collect(&manifest.0, &mut texts);
        for found in texts {
            if has_password(found) {
                problems.push(format!("{} has a URL with a password", manifest.title()));
            }
            for (secret, value) in made.iter().filter(|(_, value)| found.contains(value.as_str())) {
                let shown = value.len();
                problems.push(format!("{} shows {shown} octets of {secret}", manifest.title()));
            }
        }
    }
    problems
}

/// Every line of every Secret of the release that is text.
fn made(release: &Release) -> Vec<(String, String)> {
    let mut made = Vec::new();
    for secret in release.all("Secret") {
        let data = release.data("Secret", secret.name()).ok().flatten().unwrap_or_default();
        for octets in data.into_values() {
            let text = String::from_utf8_lossy(&octets).into_owned();
            let lines = text.lines().filter(|line| line.len() >= TELLING && is_random(line));
            made.extend(lines.map(|line| (secret.title(), line.to_owned())));
        }
    }
    made
}

/// Whether a line is a secret, and no setting beside one: these have words with spaces between.
fn is_random(line: &str) -> bool {
    !line.contains(' ')
}

fn has_password(text: &str) -> bool {
    text.split("://").skip(1).any(|rest| {
        let authority = rest.split(['/', ' ', '"']).next().unwrap_or_default();
        authority.split_once('@').is_some_and(|(user, _)| user.contains(':'))
    })
}

fn collect<'a>(value: &'a Value, texts: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        Value::Object(fields) => fields.values().for_each(|field| collect(field, texts)),
        _ => {}
    }
}
