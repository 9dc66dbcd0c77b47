//! Every rule finds what breaks it: good releases are broken in one place each, and the rule has to say so.

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

fn about_containers() -> Vec<Case> {
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

fn about_probes_and_sizes() -> Vec<Case> {
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

fn about_references() -> Vec<Case> {
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

fn about_selectors() -> Vec<Case> {
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

fn about_hooks() -> Vec<Case> {
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

fn about_network() -> Vec<Case> {
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

fn about_time() -> Vec<Case> {
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

/// Goal: no rule is one that always holds; method: break a good release in one place, for every thing that a rule looks at.
#[test]
fn rules_find_what_breaks_them() {
    let cases = [
        about_containers(),
        about_probes_and_sizes(),
        about_references(),
        about_selectors(),
        about_hooks(),
        about_network(),
        about_time(),
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
