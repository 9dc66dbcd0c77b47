//! Whatever is named is there: in the release, or among what the values file expects to exist.

use serde_json::Value;

use crate::layout;
use crate::release::{list, text};
use crate::{Pod, Release};

pub(super) fn exist(release: &Release) -> Vec<String> {
    let mut problems = Vec::new();
    for pod in release.pods() {
        of_pod(release, pod, &mut problems);
    }
    of_web(release, &mut problems);
    for kind in ["HorizontalPodAutoscaler", "ScaledObject"] {
        for scaler in release.all(kind) {
            let target = text(&scaler.0, "/spec/scaleTargetRef/name");
            if release.get("Deployment", target).is_none() {
                problems.push(format!("{} scales {target:?}, which is not there", scaler.title()));
            }
        }
    }
    problems
}

fn of_pod(release: &Release, pod: Pod, problems: &mut Vec<String>) {
    let title = pod.owner.title();
    let nothing = |_: &str, _: &str| Vec::new();
    for volume in list(&pod.spec["volumes"]) {
        for (kind, name) in [("ConfigMap", "/configMap/name"), ("Secret", "/secret/secretName")] {
            let Some(name) = volume.pointer(name).and_then(Value::as_str) else { continue };
            let source = if kind == "Secret" { &volume["secret"] } else { &volume["configMap"] };
            let mut keys: Vec<&str> = list(&source["items"]).map(|item| text(item, "/key")).collect();
            if keys.is_empty() {
                // All of it; what is looked for in there is known by the program alone.
                keys = match (kind, text(volume, "/name")) {
                    ("ConfigMap", _) => vec!["config.toml"],
                    // What the URL of a store names, which nobody can see here: it has to be there, with whatever in it.
                    (_, "postgres-tls" | "redis-tls") => {
                        let there = release.existing.secrets.get(name);
                        there.map_or(vec!["any"], |keys| keys.iter().map(String::as_str).collect())
                    }
                    _ => vec!["tls.crt", "tls.key"],
                };
            }
            for key in keys {
                if let Err(error) = layout::content(release, kind, name, key, &nothing) {
                    problems.push(format!("{title}: {error}"));
                }
            }
        }
    }
    for container in pod.containers() {
        for variable in list(&container["env"]) {
            for (kind, at) in
                [("Secret", "/valueFrom/secretKeyRef"), ("ConfigMap", "/valueFrom/configMapKeyRef")]
            {
                let Some(from) = variable.pointer(at) else { continue };
                let (name, key) = (text(from, "/name"), text(from, "/key"));
                if let Err(error) = layout::content(release, kind, name, key, &nothing) {
                    problems.push(format!("{title}: {error}"));
                }
            }
        }
        if container.get("envFrom").is_some() {
            problems.push(format!("{title} takes whole Secrets as its environment"));
        }
    }
    for secret in list(&pod.spec["imagePullSecrets"]) {
        let name = text(secret, "/name");
        if !release.existing.secrets.contains_key(name) {
            problems.push(format!("{title}: there is no Secret {name}"));
        }
    }
    let account = text(pod.spec, "/serviceAccountName");
    if release.get("ServiceAccount", account).is_none() {
        problems.push(format!("{title}: there is no ServiceAccount {account:?}"));
    }
    let class = text(pod.spec, "/priorityClassName");
    if !class.is_empty() && !class.starts_with("system-") && release.get("PriorityClass", class).is_none() {
        problems.push(format!("{title}: there is no PriorityClass {class}"));
    }
}

/// Ingresses and routes lead to ports of Services, with certificates that exist.
fn of_web(release: &Release, problems: &mut Vec<String>) {
    for ingress in release.all("Ingress") {
        for tls in list(&ingress.0["spec"]["tls"]) {
            let name = text(tls, "/secretName");
            if !name.is_empty() && !release.existing.secrets.contains_key(name) {
                problems.push(format!("{}: there is no Secret {name}", ingress.title()));
            }
        }
        for path in list(&ingress.0["spec"]["rules"]).flat_map(|rule| list(&rule["http"]["paths"])) {
            let service = &path["backend"]["service"];
            let port = text(service, "/port/name");
            if !serves(release, text(service, "/name"), |known| text(known, "/name") == port) {
                problems.push(format!("{} leads to {service}, which is not there", ingress.title()));
            }
        }
    }
    for route in release.all("HTTPRoute") {
        for backend in list(&route.0["spec"]["rules"]).flat_map(|rule| list(&rule["backendRefs"])) {
            if !serves(release, text(backend, "/name"), |known| known["port"] == backend["port"]) {
                problems.push(format!("{} leads to {backend}, which is not there", route.title()));
            }
        }
    }
}

fn serves(release: &Release, service: &str, is_it: impl Fn(&Value) -> bool) -> bool {
    let service = release.get("Service", service);
    service.is_some_and(|service| list(&service.0["spec"]["ports"]).any(is_it))
}

/// Every mount has its volume, and no volume is for nothing.
pub(super) fn mounted(release: &Release) -> Vec<String> {
    let mut problems = Vec::new();
    for pod in release.pods() {
        let title = pod.owner.title();
        let claims = list(&pod.owner.0["spec"]["volumeClaimTemplates"]);
        let mut volumes: Vec<&str> = claims.map(|claim| text(claim, "/metadata/name")).collect();
        volumes.extend(list(&pod.spec["volumes"]).map(|volume| text(volume, "/name")));
        let mounts: Vec<&str> = pod
            .containers()
            .flat_map(|container| list(&container["volumeMounts"]))
            .map(|mount| text(mount, "/name"))
            .collect();
        problems.extend(
            mounts
                .iter()
                .filter(|mount| !volumes.contains(mount))
                .map(|mount| format!("{title} mounts {mount}, which is no volume")),
        );
        problems.extend(
            volumes
                .iter()
                .filter(|volume| !mounts.contains(volume))
                .map(|volume| format!("{title} has the volume {volume}, which nobody mounts")),
        );
    }
    problems
}
