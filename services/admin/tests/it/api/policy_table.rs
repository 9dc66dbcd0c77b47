//! The reference of policies, `POLICY.md`: made of the document, the defaults and the texts.

use std::fmt::Write as _;
use std::fs;

use serde_json::Value;
use tmtp_contract::LoginRefusal;
use tmtp_domain::{Policy, PolicyRefusal, Registration};

/// Sections of a policy, and the names of their schemas.
const SECTIONS: &[(&str, &str)] = &[
    ("names", "NamePolicy"),
    ("groups", "GroupPolicy"),
    ("posts", "PostPolicy"),
    ("pings", "PingPolicy"),
    ("presence", "PresencePolicy"),
    ("undelivered", "UndeliveredPolicy"),
    ("devices", "DevicePolicy"),
    ("members", "MemberPolicy"),
];

/// Fields by which nothing is refused.
const SILENT: &[&str] =
    &["undelivered.days_max", "undelivered.expired", "devices.quiet_days", "devices.quiet_grace_days"];

const HEAD: &str = "\
# Site policy

What a site allows its members: one document, `/v1/sites/{site}/policy`. Every field may be left out. The defaults forbid
nothing that the protocol allows, but that nobody can register. Changes hold within seconds, for requests that come after
that. What is refused is told in the `error` of the ack, and the connection stays; who cannot register is told in `quit`. What is counted over a time is counted in the memory of the worker that
serves the site: another one that takes over counts from nothing.

This file is made from the code: run the tests of `tmtp-admin` with `POSTERN_RENEW=1`.

| field | what it says | default | what is refused says |
|---|---|---|---|
";

const GROUPS: &str = "
## Single groups and members

`PATCH /v1/sites/{site}/groups/{gid}` gives a group a mode: `free` (as the protocol has it), `closed` (only admins add
members), `moderated` (only its posters post, invite and drop others), `announce` (only its posters post), `open` (who does
not belong to it may post, too). What a mode does not allow is refused with one of these:

";

fn table() -> String {
    let document: Value = serde_json::from_str(&tmtp_admin::document()).unwrap();
    let defaults = serde_json::to_value(Policy::default()).unwrap();
    let texts = PolicyRefusal::all();
    let mut table = HEAD.to_owned();
    let registration = &document["components"]["schemas"]["SitePolicy"]["allOf"];
    let registration =
        registration.as_array().unwrap().iter().find_map(|part| part["properties"].get("registration"));
    let said = registration.unwrap()["description"].as_str().unwrap().replace('\n', " ");
    let refusals = [LoginRefusal::RegistrationClosed, LoginRefusal::Invite]
        .map(|refusal| format!("`{}`", refusal.text()));
    let default = Registration::default().as_str();
    writeln!(table, "| `registration` | {said} | `\"{default}\"` | {} |", refusals.join(" ")).unwrap();
    let mut known = 0;
    for (section, schema) in SECTIONS {
        let properties = &document["components"]["schemas"][schema]["properties"];
        for (field, default) in defaults[section].as_object().unwrap() {
            known += 1;
            let path = format!("{section}.{field}");
            let property = &properties[field];
            let said = property["description"].as_str().unwrap_or_default().replace('\n', " ");
            assert!(!said.is_empty(), "{path} says nothing: {property}");
            let refusals: Vec<String> =
                texts.iter().filter(|(of, _)| *of == path).map(|(_, text)| format!("`{text}`")).collect();
            assert_eq!(refusals.is_empty(), SILENT.contains(&path.as_str()), "what {path} refuses");
            writeln!(table, "| `{path}` | {said} | `{default}` | {} |", refusals.join(" ")).unwrap();
        }
    }
    let all: usize = defaults.as_object().unwrap().values().map(|part| part.as_object().unwrap().len()).sum();
    assert_eq!((known, SECTIONS.len()), (all, defaults.as_object().unwrap().len()));
    table += GROUPS;
    for (_, text) in texts.iter().filter(|(of, _)| *of == "mode of the group") {
        writeln!(table, "* `{text}`").unwrap();
    }
    table
}

/// Goal: the reference is what the code does; method: made anew and compared.
#[test]
fn the_reference_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/POLICY.md");
    let table = table();
    if std::env::var_os("POSTERN_RENEW").is_some() {
        fs::write(path, &table).unwrap();
    }
    let kept = fs::read_to_string(path).unwrap_or_default();
    assert!(kept == table, "services/admin/POLICY.md is old: run this test with POSTERN_RENEW=1");
}
