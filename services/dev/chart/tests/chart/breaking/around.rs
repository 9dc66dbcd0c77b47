//! What breaks the rules about what is around pods: selectors, hooks, the network, and times.

use serde_json::json;

use super::{ADMIN, Break, CONTAINER, Case, GATEWAY, POD, WORKER, cut, lose, put, set};

pub(super) fn about_selectors() -> Vec<Case> {
    vec![
        ("volumes are mounted", "external", lose(WORKER, POD, "/volumes/0"), "is no volume"),
        ("volumes are mounted", "external", lose(WORKER, CONTAINER, "/volumeMounts/0"), "nobody mounts"),
        (
            "selectors find what they mean",
            "external",
            put(WORKER, "/spec/selector/matchLabels/app.kubernetes.io~1component", json!("x")),
            "does not select its own",
        ),
        (
            "selectors find what they mean",
            "external",
            cut(WORKER, "/spec/selector/matchLabels/app.kubernetes.io~1component"),
            "selects the pods of",
        ),
        (
            "selectors find what they mean",
            "external",
            set(WORKER, POD, "/topologySpreadConstraints/0/labelSelector/matchLabels", json!({ "a": "b" })),
            "spreads other pods",
        ),
        (
            "selectors find what they mean",
            "external",
            put("Service postern-gateway", "/spec/selector", json!({ "a": "b" })),
            "not to one workload",
        ),
        (
            "selectors find what they mean",
            "external",
            put("Service postern-gateway", "/spec/ports/0/targetPort", json!("tls")),
            "nobody listens",
        ),
        (
            "selectors find what they mean",
            "external",
            put(
                "PodDisruptionBudget postern-gateway",
                "/spec/selector/matchLabels",
                json!({ "app.kubernetes.io/name": "tmtp" }),
            ),
            "not for one workload",
        ),
        (
            "selectors find what they mean",
            "external",
            put("NetworkPolicy postern-worker", "/spec/podSelector/matchLabels", json!({ "a": "b" })),
            "is for no pod",
        ),
        (
            "selectors find what they mean",
            "gateway-api",
            put(
                "NetworkPolicy postern-gateway",
                "/spec/egress/3/to/0/podSelector/matchLabels",
                json!({ "a": "b" }),
            ),
            "peer that is no pod",
        ),
        (
            "selectors find what they mean",
            "full",
            put("ServiceMonitor postern-worker", "/spec/endpoints/0/port", json!("x")),
            "does not find one Service",
        ),
        ("scaled workloads have no count", "full", put(GATEWAY, "/spec/replicas", json!(2)), "scaled twice"),
        ("scaled workloads have no count", "external", cut(GATEWAY, "/spec/replicas"), "by nobody"),
    ]
}

pub(super) fn about_hooks() -> Vec<Case> {
    vec![
        (
            "hooks have what they need",
            "external",
            put("ServiceAccount postern-jobs", "/metadata/annotations/helm.sh~1hook", json!("post-install")),
            "not there at pre-install",
        ),
        (
            "hooks have what they need",
            "external",
            put("ServiceAccount postern-jobs", "/metadata/annotations/helm.sh~1hook-weight", json!("-10")),
            "not there at pre-install",
        ),
        (
            "hooks have what they need",
            "external",
            put("NetworkPolicy postern-jobs", "/metadata/annotations", json!({})),
            "no network at pre-install",
        ),
        (
            "hooks have what they need",
            "trial",
            put("Job postern-bootstrap", "/metadata/annotations/helm.sh~1hook", json!("pre-install")),
            "postern-operator-key, which is not there",
        ),
    ]
}

pub(super) fn about_network() -> Vec<Case> {
    vec![
        (
            "programs listen at the ports of their containers",
            "external",
            set(GATEWAY, CONTAINER, "/ports/0/containerPort", json!(9443)),
            "declares",
        ),
        (
            "programs listen at the ports of their containers",
            "gateway-api",
            put(
                "ConfigMap postern-admin",
                "/data/config.toml",
                json!("[listen]\naddress = \"0.0.0.0:8080\"\n"),
            ),
            "declares",
        ),
        (
            "programs listen at the ports of their containers",
            "external",
            Break::Remove("ConfigMap postern-worker"),
            "no ConfigMap",
        ),
        (
            "open ports are listened at",
            "external",
            put("NetworkPolicy postern-gateway", "/spec/ingress/0/ports/0/port", json!(443)),
            "opens 443",
        ),
        (
            "open ports are listened at",
            "external",
            cut("NetworkPolicy postern-gateway", "/spec/ingress/0/ports"),
            "opens all ports",
        ),
        (
            "open ports are listened at",
            "full",
            put("NetworkPolicy postern-worker", "/spec/egress/1/ports/0/port", json!(6379)),
            "6379, where nothing is said to be",
        ),
        (
            "open ports are listened at",
            "external",
            put("NetworkPolicy postern-test", "/spec/egress/2/ports/0/port", json!(8081)),
            "at which nobody listens",
        ),
        (
            "open ports are listened at",
            "external",
            put("NetworkPolicy postern-worker", "/spec/egress/-", json!({})),
            "lets out to all ports",
        ),
        (
            "both ends of a connection are open",
            "gateway-api",
            cut("NetworkPolicy postern-admin", "/spec/ingress/1"),
            "whose own policy does not",
        ),
        (
            "both ends of a connection are open",
            "trial",
            cut("NetworkPolicy postern-worker", "/spec/egress/2"),
            "whose own policy does not",
        ),
        (
            "pods are closed by default",
            "external",
            Break::Remove("NetworkPolicy postern-closed"),
            "is open for",
        ),
        (
            "pods are closed by default",
            "external",
            cut("NetworkPolicy postern-admin", "/spec/ingress/0/from"),
            "everybody may connect to [8080]",
        ),
    ]
}

pub(super) fn about_time() -> Vec<Case> {
    vec![
        (
            "there is time to drain",
            "external",
            set(GATEWAY, POD, "/terminationGracePeriodSeconds", json!(97)),
            "is killed after 97 s",
        ),
        (
            "there is time to drain",
            "external",
            lose(ADMIN, POD, "/terminationGracePeriodSeconds"),
            "is killed after 30 s",
        ),
        (
            "there is time to drain",
            "external",
            lose(GATEWAY, CONTAINER, "/lifecycle"),
            "still gets connections",
        ),
        (
            "there is time to drain",
            "external",
            put(
                "ConfigMap postern-gateway",
                "/data/config.toml",
                json!("[listen]\ndrain_over = \"80s\"\n[runtime]\nshutdown_grace = \"80s\"\n"),
            ),
            "drains over",
        ),
        (
            "rolling upgrades keep everybody served",
            "external",
            put(GATEWAY, "/spec/strategy/rollingUpdate/maxUnavailable", json!(1)),
            "one up, then one down",
        ),
        (
            "rolling upgrades keep everybody served",
            "external",
            cut(GATEWAY, "/spec/minReadySeconds"),
            "several at once",
        ),
        (
            "rolling upgrades keep everybody served",
            "full",
            put(GATEWAY, "/spec/progressDeadlineSeconds", json!(270)),
            "gives up before",
        ),
        (
            "rolling upgrades keep everybody served",
            "external",
            Break::Remove("PodDisruptionBudget postern-worker"),
            "disruption budget",
        ),
        (
            "rolling upgrades keep everybody served",
            "external",
            cut(GATEWAY, "/spec/template/metadata/annotations"),
            "does not change with its configuration",
        ),
    ]
}
