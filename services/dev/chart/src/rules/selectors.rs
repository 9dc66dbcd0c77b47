//! Selectors find pods, and the ones that are meant.

use serde_json::Value;

use crate::Release;
use crate::release::{fields, list, text};

pub(super) fn find(release: &Release) -> Vec<String> {
    let mut problems = Vec::new();
    for manifest in &release.manifests {
        let title = manifest.title();
        let spec = &manifest.0["spec"];
        match manifest.kind() {
            "Deployment" | "StatefulSet" | "DaemonSet" => {
                let selector = &spec["selector"]["matchLabels"];
                let finds = |other: &crate::Pod| other.matches(selector);
                if !manifest.pod().is_some_and(|pod| finds(&pod)) {
                    problems.push(format!("{title} does not select its own pods"));
                }
                let strangers = release.pods().filter(|pod| !std::ptr::eq(pod.owner, manifest));
                problems.extend(
                    strangers
                        .filter(finds)
                        .map(|pod| format!("{title} selects the pods of {}", pod.owner.title())),
                );
                for spread in list(&manifest.0["spec"]["template"]["spec"]["topologySpreadConstraints"]) {
                    if !manifest.pod().is_some_and(|pod| pod.matches(&spread["labelSelector"]["matchLabels"]))
                    {
                        problems.push(format!("{title} spreads other pods than its own"));
                    }
                }
            }
            "Service" => of_service(release, &title, spec, &mut problems),
            "PodDisruptionBudget" => {
                let found = owners(release, &spec["selector"]["matchLabels"]);
                if found.len() != 1 {
                    problems.push(format!("{title} is for {found:?}, not for one workload"));
                }
            }
            "NetworkPolicy" => {
                if owners(release, &spec["podSelector"]["matchLabels"]).is_empty() {
                    problems.push(format!("{title} is for no pod"));
                }
                for peer in super::network::peers(spec).filter(|peer| peer.get("namespaceSelector").is_none())
                {
                    let Some(selector) = peer.get("podSelector") else { continue };
                    if owners(release, &selector["matchLabels"]).is_empty() {
                        problems.push(format!("{title} knows a peer that is no pod: {selector}"));
                    }
                }
            }
            "ServiceMonitor" => {
                for endpoint in list(&spec["endpoints"]) {
                    let port = text(endpoint, "/port");
                    let found = release.all("Service").filter(|service| {
                        let labels = &service.0["metadata"]["labels"];
                        fields(&spec["selector"]["matchLabels"])
                            .all(|(name, value)| labels.get(name) == Some(value))
                            && list(&service.0["spec"]["ports"]).any(|known| text(known, "/name") == port)
                    });
                    if found.count() != 1 {
                        problems.push(format!("{title} does not find one Service with the port {port}"));
                    }
                }
            }
            _ => {}
        }
    }
    problems
}

/// A Service has pods, all of one workload, and leads to their ports.
fn of_service(release: &Release, title: &str, spec: &Value, problems: &mut Vec<String>) {
    let selector = &spec["selector"];
    let found = owners(release, selector);
    if found.len() != 1 {
        problems.push(format!("{title} leads to {found:?}, not to one workload"));
    }
    for port in list(&spec["ports"]) {
        let target = &port["targetPort"];
        let listens = |pod: crate::Pod| match target.as_str() {
            Some(name) => pod.ports().any(|(_, known)| known == name),
            None => pod.ports().any(|(known, _)| Some(u64::from(known)) == target.as_u64()),
        };
        if !release.pods().filter(|pod| pod.matches(selector)).all(listens) {
            problems.push(format!("{title} leads to the port {target}, at which nobody listens"));
        }
    }
}

fn owners(release: &Release, selector: &Value) -> Vec<String> {
    release.pods().filter(|pod| pod.matches(selector)).map(|pod| pod.owner.title()).collect()
}

/// Who is scaled by something else has no number of pods: each upgrade would set it back.
pub(super) fn scaled(release: &Release) -> Vec<String> {
    let scalers = release.all("HorizontalPodAutoscaler").chain(release.all("ScaledObject"));
    let targets: Vec<&str> = scalers.map(|scaler| text(&scaler.0, "/spec/scaleTargetRef/name")).collect();
    release
        .all("Deployment")
        .filter(|deployment| {
            targets.contains(&deployment.name()) == deployment.0["spec"].get("replicas").is_some()
        })
        .map(|deployment| format!("{} is scaled twice, or by nobody", deployment.title()))
        .collect()
}
