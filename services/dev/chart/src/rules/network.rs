//! Ports: where programs listen, what containers declare, and what network policies open, agree.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::release::list;
use crate::{Manifest, Pod, Release};

/// The settings that say where a program listens.
const LISTENS: &[(&str, &[&str])] = &[
    ("gateway", &["listen.address", "monitor.address"]),
    ("worker", &["monitor.address"]),
    ("admin", &["listen.address", "public.address", "monitor.address"]),
];

/// The peers of all rules of a network policy.
pub(super) fn peers(spec: &Value) -> impl Iterator<Item = &Value> {
    let from = list(&spec["ingress"]).flat_map(|rule| list(&rule["from"]));
    from.chain(list(&spec["egress"]).flat_map(|rule| list(&rule["to"])))
}

/// The ports of a container are those at which its program listens by its configuration: no more, no less.
pub(super) fn listened(release: &Release) -> Vec<String> {
    let mut problems = Vec::new();
    for (component, settings) in LISTENS {
        let (config, workload) = match (release.config(component), release.own("Deployment", component)) {
            (Ok(config), Ok(workload)) => (config, workload),
            (config, workload) => {
                let errors = [config.err(), workload.err()].into_iter().flatten();
                problems.extend(errors.map(|error| format!("{error:#}")));
                continue;
            }
        };
        let port = |setting: &&str| {
            let (section, key) = setting.split_once('.')?;
            config.get(section)?.get(key)?.as_str()?.rsplit_once(':')?.1.parse::<u16>().ok()
        };
        let listens: BTreeSet<u16> = settings.iter().filter_map(port).collect();
        let declared: BTreeSet<u16> =
            workload.pod().iter().flat_map(Pod::ports).map(|(number, _)| number).collect();
        if listens != declared {
            problems.push(format!(
                "{} listens at {listens:?} by its configuration, and declares {declared:?}",
                workload.title()
            ));
        }
    }
    problems
}

/// The pods that a policy is for.
fn subjects<'a>(release: &'a Release, policy: &Manifest) -> Vec<Pod<'a>> {
    let selector = policy.0["spec"]["podSelector"]["matchLabels"].clone();
    release.pods().filter(|pod| pod.matches(&selector)).collect()
}

fn ports(rule: &Value) -> impl Iterator<Item = u16> {
    list(&rule["ports"]).filter_map(|port| u16::try_from(port["port"].as_u64()?).ok())
}

/// Labels of peers that are pods of the release; `None` for everything else.
fn own_pods(peer: &Value) -> Option<&Value> {
    if peer.get("namespaceSelector").is_some() { None } else { peer.pointer("/podSelector/matchLabels") }
}

/// Every port that a policy opens is one at which somebody listens: the pods themselves, the pods that they go to, or
/// something outside that is said to exist.
pub(super) fn opened(release: &Release) -> Vec<String> {
    let mut problems = Vec::new();
    for policy in release.all("NetworkPolicy") {
        let title = policy.title();
        let spec = &policy.0["spec"];
        for rule in list(&spec["ingress"]) {
            if list(&rule["ports"]).next().is_none() {
                problems.push(format!("{title} opens all ports"));
            }
            for port in ports(rule) {
                let listens = |pod: &Pod| pod.ports().any(|(known, _)| known == port);
                if !subjects(release, policy).iter().all(listens) {
                    problems.push(format!("{title} opens {port}, at which nobody listens"));
                }
            }
        }
        for rule in list(&spec["egress"]) {
            if list(&rule["ports"]).next().is_none() {
                problems.push(format!("{title} lets out to all ports"));
            }
            let inside: Vec<&Value> = list(&rule["to"]).filter_map(own_pods).collect();
            let goes_outside = inside.len() < list(&rule["to"]).count() || rule.get("to").is_none();
            for port in ports(rule) {
                for labels in &inside {
                    let listens = |pod: &Pod| pod.ports().any(|(known, _)| known == port);
                    if !release.pods().filter(|pod| pod.matches(labels)).all(|pod| listens(&pod)) {
                        problems
                            .push(format!("{title} lets out to {port} of {labels}, at which nobody listens"));
                    }
                }
                if goes_outside && !release.existing.ports.contains(&port) {
                    problems.push(format!("{title} lets out to {port}, where nothing is said to be"));
                }
            }
        }
    }
    problems
}

/// Whether a rule in one direction lets `other` pass at `port`.
fn passes(policies: &[&Manifest], pod: Pod, direction: [&str; 2], other: Pod, port: u16) -> bool {
    policies.iter().any(|policy| {
        let spec = &policy.0["spec"];
        pod.matches(&spec["podSelector"]["matchLabels"])
            && list(&spec[direction[0]]).any(|rule| {
                let anybody = rule.get(direction[1]).is_none();
                let named =
                    list(&rule[direction[1]]).filter_map(own_pods).any(|labels| other.matches(labels));
                (anybody || named) && ports(rule).any(|known| known == port)
            })
    })
}

/// What one pod of the release may send to another, that one may receive, and the other way round.
pub(super) fn agreed(release: &Release) -> Vec<String> {
    let policies: Vec<&Manifest> = release.all("NetworkPolicy").collect();
    let mut problems = Vec::new();
    for policy in &policies {
        for (direction, back) in
            [(["egress", "to"], ["ingress", "from"]), (["ingress", "from"], ["egress", "to"])]
        {
            for rule in list(&policy.0["spec"][direction[0]]) {
                for labels in list(&rule[direction[1]]).filter_map(own_pods) {
                    let subjects = subjects(release, policy);
                    let pairs = subjects.iter().flat_map(|subject| {
                        release
                            .pods()
                            .filter(|other| other.matches(labels))
                            .map(move |other| (*subject, other))
                    });
                    for (subject, other) in pairs {
                        for port in ports(rule) {
                            if !passes(&policies, other, back, subject, port) {
                                problems.push(format!(
                                    "{} opens {port} between {} and {}, whose own policy does not",
                                    policy.title(),
                                    subject.owner.title(),
                                    other.owner.title()
                                ));
                            }
                        }
                    }
                }
            }
        }
    }
    problems
}

/// Where there are policies, every pod is closed in both directions.
pub(super) fn closed(release: &Release) -> Vec<String> {
    if release.all("NetworkPolicy").next().is_none() {
        return Vec::new();
    }
    let mut problems = Vec::new();
    for pod in release.pods() {
        for direction in ["Ingress", "Egress"] {
            let closes = |policy: &Manifest| {
                let spec = &policy.0["spec"];
                pod.matches(&spec["podSelector"]["matchLabels"])
                    && list(&spec["policyTypes"]).any(|kind| *kind == json!(direction))
                    && policy.hooks().is_empty()
            };
            if !release.all("NetworkPolicy").any(closes) {
                problems.push(format!("{} is open for {direction}", pod.owner.title()));
            }
        }
    }
    for rule in release.all("NetworkPolicy").flat_map(|policy| list(&policy.0["spec"]["ingress"])) {
        let everybody = rule.get("from").is_none() || list(&rule["from"]).next().is_none();
        let is_tmtp = ports(rule).all(|port| tmtp_port(release) == Some(port));
        if everybody && !is_tmtp {
            problems.push(format!("everybody may connect to {:?}", ports(rule).collect::<Vec<_>>()));
        }
    }
    problems
}

/// The port for clients, the only one for everybody.
fn tmtp_port(release: &Release) -> Option<u16> {
    let gateway = release.own("Deployment", "gateway").ok()?.pod()?;
    gateway.ports().find(|(_, name)| *name == "tmtp").map(|(number, _)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a peer in other namespaces is none of ours, whatever its labels; method: one of each kind.
    #[test]
    fn peers_of_ours() {
        assert!(own_pods(&json!({ "podSelector": { "matchLabels": { "a": "b" } } })).is_some());
        assert!(
            own_pods(&json!({ "podSelector": { "matchLabels": {} }, "namespaceSelector": {} })).is_none()
        );
        assert!(own_pods(&json!({ "ipBlock": { "cidr": "0.0.0.0/0" } })).is_none());
    }
}
