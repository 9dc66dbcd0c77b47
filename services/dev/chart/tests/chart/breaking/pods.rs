//! What breaks the rules about pods: containers, probes and sizes, and what they refer to.

use serde_json::json;

use super::{ADMIN, Break, CONTAINER, Case, GATEWAY, POD, WORKER, lose, put, set};

pub(super) fn about_containers() -> Vec<Case> {
    vec![
        (
            "containers are confined",
            "external",
            set(GATEWAY, POD, "/hostNetwork", json!(true)),
            "hostNetwork",
        ),
        (
            "containers are confined",
            "external",
            set(WORKER, POD, "/volumes/-", json!({ "name": "x", "hostPath": { "path": "/" } })),
            "node's files",
        ),
        ("containers are confined", "external", lose(GATEWAY, POD, "/securityContext/runAsNonRoot"), "root"),
        (
            "containers are confined",
            "external",
            set(GATEWAY, POD, "/securityContext/runAsUser", json!(0)),
            "runAsUser",
        ),
        (
            "containers are confined",
            "external",
            lose(GATEWAY, POD, "/securityContext/seccompProfile"),
            "seccomp",
        ),
        (
            "containers are confined",
            "external",
            set(GATEWAY, CONTAINER, "/securityContext/allowPrivilegeEscalation", json!(true)),
            "escalate",
        ),
        (
            "containers are confined",
            "trial",
            lose("StatefulSet postern-trial-redis", CONTAINER, "/securityContext/readOnlyRootFilesystem"),
            "root that can be written",
        ),
        (
            "containers are confined",
            "external",
            set(
                "Job postern-migrate",
                CONTAINER,
                "/securityContext/capabilities",
                json!({ "drop": ["NET_RAW"] }),
            ),
            "drop ALL",
        ),
        (
            "containers are confined",
            "external",
            set(GATEWAY, CONTAINER, "/securityContext/capabilities/add", json!(["NET_BIND_SERVICE"])),
            "adds",
        ),
        (
            "containers are confined",
            "external",
            set(GATEWAY, CONTAINER, "/securityContext/runAsUser", json!(0)),
            "overrides runAsUser",
        ),
    ]
}

pub(super) fn about_probes_and_sizes() -> Vec<Case> {
    vec![
        ("containers are probed", "external", lose(WORKER, CONTAINER, "/livenessProbe"), "no livenessProbe"),
        ("containers are probed", "external", lose(ADMIN, CONTAINER, "/startupProbe"), "no startupProbe"),
        (
            "containers are probed",
            "external",
            set(ADMIN, CONTAINER, "/readinessProbe/httpGet/port", json!("public")),
            "none of its own",
        ),
        (
            "containers have requests and limits",
            "external",
            lose(WORKER, CONTAINER, "/resources/limits"),
            "limits",
        ),
        (
            "containers have requests and limits",
            "trial",
            lose(WORKER, "/spec/template/spec/initContainers/0", "/resources/requests/cpu"),
            "requests/cpu",
        ),
        (
            "no tag moves",
            "external",
            set(WORKER, CONTAINER, "/image", json!("a.example:5000/postern")),
            "a.example",
        ),
        ("no tag moves", "external", set(WORKER, CONTAINER, "/image", json!("postern:latest")), "latest"),
        (
            "accounts have no tokens",
            "external",
            put("ServiceAccount postern-admin", "/automountServiceAccountToken", json!(true)),
            "gives tokens",
        ),
        (
            "accounts have no tokens",
            "external",
            lose(ADMIN, POD, "/automountServiceAccountToken"),
            "takes a token",
        ),
        ("accounts have no tokens", "external", lose(ADMIN, POD, "/enableServiceLinks"), "variables"),
        (
            "accounts have no tokens",
            "external",
            Break::Add(json!({ "kind": "Role", "metadata": { "name": "r" } })),
            "gives rights",
        ),
    ]
}

pub(super) fn about_references() -> Vec<Case> {
    vec![
        (
            "no secret outside of Secrets",
            "external",
            set(WORKER, CONTAINER, "/env/-", json!({ "name": "PGPASSWORD", "value": "x" })),
            "PGPASSWORD in plain text",
        ),
        (
            "no secret outside of Secrets",
            "external",
            set(WORKER, CONTAINER, "/args/-", json!("postgres://u:word@h/d")),
            "URL with a password",
        ),
        (
            "what is referred to exists",
            "external",
            Break::Remove("ConfigMap postern-worker"),
            "no ConfigMap postern-worker",
        ),
        (
            "what is referred to exists",
            "trial",
            Break::Remove("Secret postern-trial-redis"),
            "postern-trial-redis",
        ),
        (
            "what is referred to exists",
            "external",
            set(
                WORKER,
                CONTAINER,
                "/env/-",
                json!({ "name": "X", "valueFrom": { "secretKeyRef": { "name": "postern-redis", "key": "password" } } }),
            ),
            "no key password",
        ),
        (
            "what is referred to exists",
            "external",
            set("Job postern-migrate", CONTAINER, "/env/0/valueFrom/secretKeyRef/name", json!("other")),
            "no Secret other",
        ),
        (
            "what is referred to exists",
            "full",
            set(WORKER, POD, "/volumes/3/secret/secretName", json!("other-tls")),
            "no Secret other-tls",
        ),
        (
            "what is referred to exists",
            "external",
            set(WORKER, CONTAINER, "/envFrom", json!([{ "secretRef": { "name": "postern-redis" } }])),
            "whole Secrets",
        ),
        (
            "what is referred to exists",
            "full",
            set(WORKER, POD, "/imagePullSecrets/0/name", json!("x")),
            "no Secret x",
        ),
        (
            "what is referred to exists",
            "external",
            Break::Remove("ServiceAccount postern-gateway"),
            "ServiceAccount",
        ),
        (
            "what is referred to exists",
            "full",
            Break::Remove("PriorityClass messaging-postern"),
            "PriorityClass",
        ),
        (
            "what is referred to exists",
            "full",
            put("Ingress postern-admin", "/spec/tls/0/secretName", json!("x")),
            "no Secret x",
        ),
        (
            "what is referred to exists",
            "full",
            put("Ingress postern-admin", "/spec/rules/0/http/paths/0/backend/service/port/name", json!("x")),
            "leads to",
        ),
        (
            "what is referred to exists",
            "gateway-api",
            put("HTTPRoute postern-admin-api", "/spec/rules/0/backendRefs/0/port", json!(1)),
            "leads to",
        ),
        (
            "what is referred to exists",
            "full",
            put("ScaledObject postern-worker", "/spec/scaleTargetRef/name", json!("x")),
            "scales",
        ),
    ]
}
