//! What every container has: confinement, probes, requests and limits, an image that stays what it is.

use serde_json::{Value, json};

use crate::release::{list, text};
use crate::{Pod, Release};

/// Tags that mean another image tomorrow.
const MOVING: &[&str] = &["latest", "stable", "main", "master", "edge", "nightly", "dev"];

/// Every container of every pod, with words that name it.
fn each(release: &Release) -> impl Iterator<Item = (Pod<'_>, &Value, String)> {
    release.pods().flat_map(|pod| {
        pod.containers().map(move |container| {
            (pod, container, format!("{}, container {}", pod.owner.title(), text(container, "/name")))
        })
    })
}

/// The pod security standard "restricted", and a read-only root on top.
pub(super) fn confined(release: &Release) -> Vec<String> {
    let mut problems = Vec::new();
    for pod in release.pods() {
        let title = pod.owner.title();
        for field in ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"] {
            if pod.spec[field] == json!(true) {
                problems.push(format!("{title} shares {field}"));
            }
        }
        for volume in list(&pod.spec["volumes"]).filter(|volume| volume.get("hostPath").is_some()) {
            problems.push(format!("{title} sees the node's files in {}", text(volume, "/name")));
        }
        let security = &pod.spec["securityContext"];
        if security["runAsNonRoot"] != json!(true) {
            problems.push(format!("{title} may run as root"));
        }
        for field in ["runAsUser", "runAsGroup"] {
            if security[field].as_u64().unwrap_or_default() == 0 {
                problems.push(format!("{title} has no {field} in numbers"));
            }
        }
        if security.pointer("/seccompProfile/type") != Some(&json!("RuntimeDefault")) {
            problems.push(format!("{title} has no seccomp profile"));
        }
    }
    for (_, container, title) in each(release) {
        let security = &container["securityContext"];
        if security["allowPrivilegeEscalation"] != json!(false) {
            problems.push(format!("{title} may escalate"));
        }
        if security["readOnlyRootFilesystem"] != json!(true) {
            problems.push(format!("{title} has a root that can be written"));
        }
        if security.pointer("/capabilities/drop") != Some(&json!(["ALL"])) {
            problems.push(format!("{title} does not drop ALL capabilities"));
        }
        if security.pointer("/capabilities/add").is_some() {
            problems.push(format!("{title} adds capabilities"));
        }
        for field in ["runAsNonRoot", "runAsUser", "privileged", "seccompProfile"] {
            if security.get(field).is_some() {
                problems.push(format!("{title} overrides {field} of its pod"));
            }
        }
    }
    problems
}

/// What runs until it is stopped has all three probes.
pub(super) fn probed(release: &Release) -> Vec<String> {
    let mut problems = Vec::new();
    for pod in release.pods().filter(Pod::is_long_running) {
        for container in pod.main_containers() {
            for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
                let title = format!("{}, container {}", pod.owner.title(), text(container, "/name"));
                let Some(probe_of) = container.get(probe) else {
                    problems.push(format!("{title} has no {probe}"));
                    continue;
                };
                let port = ["/httpGet/port", "/tcpSocket/port"].iter().find_map(|at| probe_of.pointer(at));
                let is_open = |port: &Value| match port.as_u64() {
                    Some(number) => pod.ports().any(|(known, _)| u64::from(known) == number),
                    None => pod.ports().any(|(_, name)| *port == name),
                };
                if port.is_some_and(|port| !is_open(port)) {
                    problems.push(format!("{title}: the {probe} asks a port that is none of its own"));
                }
            }
        }
    }
    problems
}

/// Requests for the scheduler, and a limit of memory. No limit of CPU: a throttled program answers late for no reason.
pub(super) fn sized(release: &Release) -> Vec<String> {
    let mut problems = Vec::new();
    for (_, container, title) in each(release) {
        for at in ["/requests/cpu", "/requests/memory", "/limits/memory"] {
            if container["resources"].pointer(at).is_none_or(Value::is_null) {
                problems.push(format!("{title} has no resources{at}"));
            }
        }
    }
    problems
}

/// Images have a digest, or a tag that stays.
pub(super) fn pinned(release: &Release) -> Vec<String> {
    let moves = |image: &str| {
        if image.contains("@sha256:") {
            return false;
        }
        let name = image.rsplit('/').next().unwrap_or_default();
        name.split_once(':').is_none_or(|(_, tag)| tag.is_empty() || MOVING.contains(&tag))
    };
    each(release)
        .filter(|(_, container, _)| moves(text(container, "/image")))
        .map(|(_, container, title)| format!("{title} has the image {:?}", text(container, "/image")))
        .collect()
}

/// Nothing here speaks to Kubernetes.
pub(super) fn tokenless(release: &Release) -> Vec<String> {
    let mut problems = Vec::new();
    for account in release.all("ServiceAccount") {
        if account.0["automountServiceAccountToken"] != json!(false) {
            problems.push(format!("{} gives tokens away", account.title()));
        }
    }
    for pod in release.pods() {
        if pod.spec["automountServiceAccountToken"] != json!(false) {
            problems.push(format!("{} takes a token", pod.owner.title()));
        }
        if pod.spec["enableServiceLinks"] != json!(false) {
            problems.push(format!("{} takes variables of Services", pod.owner.title()));
        }
        if text(pod.spec, "/serviceAccountName").is_empty() {
            problems.push(format!("{} has no account of its own", pod.owner.title()));
        }
    }
    for kind in ["Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"] {
        problems.extend(release.all(kind).map(|role| format!("{} gives rights", role.title())));
    }
    problems
}
