//! Hooks that run before everything else need what is there before everything else.

use serde_json::Value;

use crate::Release;
use crate::release::{list, text};

/// At these events nothing of the release is there yet, or only what an older one made.
const EARLY: &[&str] = &["pre-install", "pre-upgrade"];

pub(super) fn supplied(release: &Release) -> Vec<String> {
    let mut problems = Vec::new();
    for pod in release.pods() {
        let owner = pod.owner;
        for event in owner.hooks() {
            let mut needs = vec![("ServiceAccount", text(pod.spec, "/serviceAccountName"))];
            for volume in list(&pod.spec["volumes"]) {
                needs.push(("ConfigMap", text(volume, "/configMap/name")));
                needs.push(("Secret", text(volume, "/secret/secretName")));
            }
            for variable in pod.containers().flat_map(|container| list(&container["env"])) {
                needs.push(("Secret", text(variable, "/valueFrom/secretKeyRef/name")));
                needs.push(("ConfigMap", text(variable, "/valueFrom/configMapKeyRef/name")));
            }
            for (kind, name) in needs {
                let Some(needed) = release.get(kind, name) else { continue };
                let hooks = needed.hooks();
                let is_there = if hooks.is_empty() {
                    !EARLY.contains(&event)
                } else {
                    hooks.contains(&event) && needed.weight() < owner.weight()
                };
                if !is_there {
                    let title = needed.title();
                    problems.push(format!("{} needs {title}, which is not there at {event}", owner.title()));
                }
            }
            // With a closed network a pod gets nowhere without a policy of its own.
            let is_closed = release.all("NetworkPolicy").next().is_some();
            let opens = |policy: &&crate::Manifest| {
                let selector = &policy.0["spec"]["podSelector"]["matchLabels"];
                let is_there = if policy.hooks().is_empty() {
                    !EARLY.contains(&event)
                } else {
                    policy.hooks().contains(&event) && policy.weight() < owner.weight()
                };
                is_there
                    && pod.matches(selector)
                    && policy.0["spec"].get("egress").is_some_and(Value::is_array)
            };
            if is_closed && !release.all("NetworkPolicy").any(|policy| opens(&policy)) {
                problems.push(format!("{} has no network at {event}", owner.title()));
            }
        }
    }
    problems
}
