//! Every rule finds what breaks it: good releases are broken in one place each, and the rule has to say so.

mod around;
mod pods;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tmtp_chart::{Manifest, Release, rules};

use crate::render;

/// What is done to a release.
enum Break {
    /// A part of a manifest is replaced.
    Set(&'static str, String, Value),
    /// A part of a manifest is taken out.
    Drop(&'static str, String),
    /// A manifest is taken out.
    Remove(&'static str),
    /// A manifest is added.
    Add(Value),
}

impl Break {
    fn apply(&self, release: &mut Release) {
        match self {
            Self::Set(title, pointer, value) => {
                let (above, last) = split(pointer);
                let at = part(release, title, above);
                match at {
                    Value::Array(items) if last == "-" => items.push(value.clone()),
                    Value::Array(items) => items[last.parse::<usize>().expect("an index")] = value.clone(),
                    _ => at[last.replace("~1", "/")] = value.clone(),
                }
            }
            Self::Drop(title, pointer) => {
                let (above, last) = split(pointer);
                match part(release, title, above) {
                    Value::Array(items) => drop(items.remove(last.parse::<usize>().expect("an index"))),
                    Value::Object(fields) => {
                        fields
                            .remove(&last.replace("~1", "/"))
                            .unwrap_or_else(|| panic!("{title} has no {pointer}"));
                    }
                    other => panic!("{title} has no {pointer} in {other}"),
                }
            }
            Self::Remove(title) => {
                let before = release.manifests.len();
                release.manifests.retain(|manifest| manifest.title() != *title);
                assert_eq!(release.manifests.len(), before - 1, "there is no {title}");
            }
            Self::Add(manifest) => release.manifests.push(Manifest(manifest.clone())),
        }
    }
}

fn split(pointer: &str) -> (&str, &str) {
    pointer.rsplit_once('/').expect("a pointer")
}

fn part<'a>(release: &'a mut Release, title: &str, pointer: &str) -> &'a mut Value {
    let manifest = release.manifests.iter_mut().find(|manifest| manifest.title() == title);
    let manifest = manifest.unwrap_or_else(|| panic!("there is no {title}"));
    manifest.0.pointer_mut(pointer).unwrap_or_else(|| panic!("{title} has no {pointer}"))
}

const GATEWAY: &str = "Deployment postern-gateway";
const WORKER: &str = "Deployment postern-worker";
const ADMIN: &str = "Deployment postern-admin";
const POD: &str = "/spec/template/spec";
const CONTAINER: &str = "/spec/template/spec/containers/0";

/// The rule, the values, what is broken, and words of what has to be said.
type Case = (&'static str, &'static str, Break, &'static str);

fn put(title: &'static str, pointer: &str, value: Value) -> Break {
    Break::Set(title, pointer.to_owned(), value)
}

fn cut(title: &'static str, pointer: &str) -> Break {
    Break::Drop(title, pointer.to_owned())
}

fn set(title: &'static str, base: &str, rest: &str, value: Value) -> Break {
    put(title, &format!("{base}{rest}"), value)
}

fn lose(title: &'static str, base: &str, rest: &str) -> Break {
    cut(title, &format!("{base}{rest}"))
}

/// Goal: no rule is one that always holds; method: break a good release in one place, for every thing that a rule looks at.
#[test]
fn rules_find_what_breaks_them() {
    let cases = [
        pods::about_containers(),
        pods::about_probes_and_sizes(),
        pods::about_references(),
        around::about_selectors(),
        around::about_hooks(),
        around::about_network(),
        around::about_time(),
    ];
    let mut shown = BTreeSet::new();
    for (number, (rule, file, broken, words)) in cases.into_iter().flatten().enumerate() {
        let mut release = render(file, &[]);
        broken.apply(&mut release);
        let found = rules::check(&release);
        let says = |problem: &String| problem.starts_with(rule) && problem.contains(words);
        assert!(found.iter().any(says), "case {number}, {rule}, {words:?}: found {found:#?}");
        shown.insert(rule);
    }
    let all: BTreeSet<&str> = rules::ALL.iter().map(|(name, _)| *name).collect();
    assert_eq!(shown, all, "a rule without a case");
}

/// Goal: what the chart generates appears nowhere but in Secrets; method: copy a generated password into a variable.
#[test]
fn generated_secrets_are_found_anywhere() {
    let mut release = render("trial", &[]);
    let data = release.data("Secret", "postern-trial-redis").unwrap().unwrap();
    let password = String::from_utf8(data["password"].clone()).unwrap();
    put("ConfigMap postern-worker", "/data/note", json!(format!("it is {password}"))).apply(&mut release);
    let found = rules::check(&release);
    assert!(
        found.iter().any(|problem| problem.contains("shows 32 octets of Secret postern-trial-redis")),
        "{found:?}"
    );
    assert!(found.iter().all(|problem| !problem.contains(&password)), "and a failing test does not show it");
}
