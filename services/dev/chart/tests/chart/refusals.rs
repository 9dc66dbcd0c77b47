//! What the chart does not take: unknown values, wrong ones, and combinations that cannot work.

use serde_json::{Value, json};
use tmtp_chart::yaml;

use crate::{chart, render, values};

/// Goal: a typing error is an error; method: unknown and wrong values at every depth, those of programs' settings
/// included.
#[test]
fn the_schema_is_strict() {
    let chart = chart();
    for (change, words) in [
        ("gatway={}", "gatway"),
        ("gateway.replica=3", "replica"),
        ("gateway.service.externalTrafficPolicy=\"Cluster\"", "externalTrafficPolicy"),
        ("gateway.config.limits={\"link_max\":1}", "link_max"),
        ("gateway.config.listn={}", "listn"),
        ("gateway.config.limits={\"links_max\":\"many\"}", "links_max"),
        ("worker.config.delivery={\"window\":1}", "window"),
        ("admin.config.acme={\"on\":true}", "on"),
        ("image.tag=\"latest\"", "tag"),
        ("image.repository=\"postern:latest\"", "repository"),
        ("image.digest=\"sha256:12\"", "digest"),
        ("gateway.replicas=0", "replicas"),
        ("gateway.service.port=70000", "port"),
        ("gateway.proxyProtocol.trusted=[\"10.0.0.1\"]", "trusted"),
        ("admin.public.url=\"http://join.example\"", "url"),
        ("admin.public.url=\"https://join.example/path\"", "url"),
        ("bootstrap.site.registration=\"maybe\"", "registration"),
        ("bootstrap.site.domains=[\"A b\"]", "domains"),
        ("gateway.resources.limits=null", "limits"),
        ("gateway.resources.requests.cpu=null", "cpu"),
        ("gateway.resources.limits.memory=\"much\"", "memory"),
        ("networkPolicy.webFrom=[{}]", "webFrom"),
        ("networkPolicy.webFrom=[{\"podSelektor\":{}}]", "podSelektor"),
        ("trial.postgres.image=\"postgres\"", "image"),
        ("trial.redis.image=\"redis:latest\"", "image"),
    ] {
        let refusal = chart.refusal(Some(&values("external")), &[change]).unwrap();
        assert!(refusal.contains("schema") && refusal.contains(words), "{change}: {refusal}");
    }
}

/// Values files, what is changed of them, and words of the refusal.
const CASES: &[(&str, &[&str], &str)] = &[
    ("external", &["postgres.existingSecret=\"\""], "postgres.existingSecret is empty"),
    ("external", &["redis.existingSecret=\"\""], "redis.existingSecret is empty"),
    ("trial", &["postgres.existingSecret=\"a\""], "postgres.existingSecret and trial.enabled"),
    ("trial", &["redis.existingSecret=\"a\""], "redis.existingSecret and trial.enabled"),
    ("trial", &["postgres.tlsSecret=\"a\""], "postgres.tlsSecret and trial.enabled"),
    ("trial", &["redis.tlsSecret=\"a\""], "redis.tlsSecret and trial.enabled"),
    ("external", &["bodies.kind=\"s3\""], "bodies.s3.bucket is empty"),
    ("external", &["bodies.s3.bucket=\"b\""], "bodies.s3 is set, but bodies.kind is postgres"),
    (
        "external",
        &["bodies.kind=\"s3\"", "bodies.s3={\"bucket\":\"b\",\"accessKey\":\"a\"}"],
        "bodies.s3.accessKey and bodies.s3.existingSecret",
    ),
    ("full", &["bodies.s3.accountAnnotations={\"a\":\"b\"}"], "the credentials come from one of them"),
    ("external", &["certificate.existingSecret=\"\""], "there is no certificate"),
    ("cert-manager", &["certificate.existingSecret=\"a\""], "comes from one of them"),
    ("cert-manager", &["certificate.certManager.issuer.name=\"\""], "issuer.name is empty"),
    (
        "cert-manager",
        &["bootstrap.site={\"name\":\"\",\"domains\":[]}"],
        "certificate.certManager.dnsNames is empty",
    ),
    (
        "external",
        &["certificate.certManager.issuer.name=\"a\""],
        "certificate.certManager is set, but not enabled",
    ),
    ("external", &["bootstrap.site.name=\"A\""], "must be given together"),
    ("external", &["bootstrap.site.domains=[\"a.example\"]"], "must be given together"),
    ("trial", &["bootstrap.site.domains=[\"*.a.example\"]"], "begins with a wildcard"),
    ("trial", &["bootstrap.enabled=false"], "nobody would make it"),
    ("external", &["gateway.proxyProtocol.enabled=true"], "gateway.proxyProtocol.trusted is empty"),
    (
        "external",
        &["gateway.proxyProtocol.trusted=[\"10.0.0.0/8\"]"],
        "gateway.proxyProtocol.enabled is false",
    ),
    ("full", &["gateway.service.type=\"ClusterIP\""], "need gateway.service.type LoadBalancer"),
    ("full", &["gateway.autoscaling.minReplicas=21"], "gateway.autoscaling.minReplicas is more"),
    ("full", &["worker.autoscaling.minReplicas=17"], "worker.autoscaling.minReplicas is more"),
    (
        "full",
        &["worker.autoscaling.maxReplicas=129"],
        "worker.autoscaling.maxReplicas is more than migration",
    ),
    ("full", &["worker.autoscaling.prometheusUrl=\"\""], "worker.autoscaling.prometheusUrl is empty"),
    ("external", &["worker.replicas=65"], "worker.replicas is more than migration.shards"),
    ("full", &["admin.route={\"enabled\":true,\"parentRefs\":[{\"name\":\"web\"}]}"], "one way in is enough"),
    ("gateway-api", &["admin.api.host=\"\"", "admin.public.url=\"\""], "for which host is the HTTPRoute"),
    ("external", &["admin.api.host=\"a.example\""], "nothing would serve it"),
    ("gateway-api", &["admin.api.host=\"join.acme.example\""], "have the same host"),
    ("gateway-api", &["admin.route.parentRefs=[]"], "to which Gateway"),
    ("gateway-api", &["networkPolicy.webFrom=[]"], "networkPolicy.webFrom is empty"),
    ("full", &["networkPolicy.monitoringFrom=[]"], "networkPolicy.monitoringFrom is empty"),
    ("external", &["gateway.config.listen={\"drain_over\":\"1s\"}"], "change gateway.drainSeconds"),
    ("external", &["gateway.config.listen={\"address\":\"0.0.0.0:1\"}"], "change gateway.service.port"),
    ("external", &["gateway.config.bodies={\"s3\":{\"bucket\":\"b\"}}"], "change bodies.s3"),
    ("external", &["worker.config.postgres={\"url\":\"postgres://h/d\"}"], "change postgres.existingSecret"),
    (
        "external",
        &["worker.config.monitor={\"address\":\"0.0.0.0:1\"}"],
        "worker.config.monitor is not set here",
    ),
    (
        "external",
        &["admin.public.url=\"https://join.example\"", "admin.config.public={\"tmtp_port\":0}"],
        "change gateway.service.port",
    ),
    ("external", &["admin.config.listen={\"proxies\":2}"], "change admin.ingress or admin.route"),
    ("external", &["admin.config.public={\"web_clients\":[]}"], "there are no pages for invited people"),
    ("full", &["gateway.service.port=8443"], "admin.config.acme.enabled needs gateway.service.port 443"),
];

/// Goal: every combination that cannot work is refused, in words that name the values; method: one at a time.
#[test]
fn impossible_combinations_are_refused() {
    let chart = chart();
    let mut wrong = Vec::new();
    let mut said = String::new();
    for (file, changes, words) in CASES {
        let refusal = chart.refusal(Some(&values(file)), changes).unwrap_or_else(|error| error.to_string());
        said.push_str(&refusal);
        let lines = refusal.lines().filter(|line| line.starts_with("  - ")).count();
        // One cause, one line.
        if lines != 1 || !refusal.contains("these values cannot work") || !refusal.contains(words) {
            wrong.push(format!("{changes:?}: {refusal}"));
        }
    }
    for message in messages() {
        if !said.contains(&message) {
            wrong.push(format!("no case for {message:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The template with the refusals.
fn template() -> String {
    std::fs::read_to_string(chart().folder().join("templates/_problems.tpl")).expect("a template")
}

/// What separates the list of settings from the messages.
const OWN: &str = "{{- define \"postern.ownSettings\" -}}\n";

/// The longest part of each message that is not computed.
fn messages() -> Vec<String> {
    let text = template();
    let (before, rest) = text.split_once(OWN).expect("the list");
    let after = rest.split_once("{{- end }}").expect("its end").1;
    let code = |line: &&str| !["{{-", "{{/*", "*/}}"].iter().any(|start| line.starts_with(start));
    let lines = before.lines().skip_while(|line| !line.starts_with("{{- define")).chain(after.lines());
    let found = lines.map(str::trim).filter(|line| !line.is_empty()).filter(code).filter_map(|line| {
        let parts = line.split("{{").map(|part| part.rsplit("}}").next().unwrap_or(part).trim());
        parts.max_by_key(|part| part.len()).map(ToOwned::to_owned)
    });
    let found: Vec<String> = found.collect();
    assert!(found.len() > 30, "{found:?}");
    found
}

/// Settings that follow from other values, by component.
fn own_settings() -> Vec<(String, String)> {
    let text = template();
    let block = text.split_once(OWN).expect("the list").1.split_once("{{- end }}").expect("its end").0;
    let list = yaml(block).expect("YAML").remove(0);
    let pairs = list.as_object().expect("components").iter().flat_map(|(component, settings)| {
        settings.as_object().expect("settings").keys().map(move |path| (component.clone(), path.clone()))
    });
    pairs.collect()
}

/// Some value that the schema of a setting takes, and that says something.
fn some(schema: &Value) -> Value {
    if let Some(properties) = schema["properties"].as_object() {
        let (name, inner) = properties.iter().next().expect("a setting");
        return json!({ name.as_str(): some(inner) });
    }
    if let Some(first) = schema["enum"].as_array().or(schema["oneOf"].as_array()).and_then(|all| all.first())
    {
        return first.get("const").unwrap_or(first).clone();
    }
    let kind = schema["type"].as_str().or(schema["type"][0].as_str());
    match kind {
        Some("string") => json!("x"),
        Some("integer" | "number") => json!(0),
        Some("boolean") => json!(false),
        Some("array") => json!([]),
        other => panic!("what takes {other:?}? {schema}"),
    }
}

/// Goal: each setting that the chart computes is one that the program has, and is refused in `config`, even if it is given as
/// nothing, as zero or as an empty list; method: all of them, at a value that the schema takes.
#[test]
fn computed_settings_are_refused() {
    let chart = chart();
    let text = std::fs::read_to_string(chart.folder().join("values.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    for (component, path) in own_settings() {
        let mut at = &schema["$defs"][format!("{component}Config")];
        for key in path.split('.') {
            at = at
                .pointer(&format!("/properties/{key}"))
                .unwrap_or_else(|| panic!("{component} has no {path}"));
        }
        let value = path.rsplit('.').fold(some(at), |value, key| json!({ key: value }));
        let refusal =
            chart.refusal(Some(&values("external")), &[&format!("{component}.config={value}")]).unwrap();
        let words = format!("{component}.config.{path} is not set here; change ");
        assert!(refusal.contains(&words), "{value}: {refusal}");
    }
}

/// Goal: nothing that the chart computes can be given as well, where it would be overwritten in silence; method: every setting
/// in every rendered file is the user's, a suggestion, or among those that are refused.
#[test]
fn what_is_computed_is_on_the_list() {
    let own = own_settings();
    for file in chart().value_files().unwrap() {
        let given = yaml(&std::fs::read_to_string(&file).unwrap()).unwrap().remove(0);
        let release = render(&crate::stem(&file), &[]);
        for component in ["gateway", "worker", "admin"] {
            let config = serde_json::to_value(release.config(component).unwrap()).unwrap();
            let mut paths = Vec::new();
            leaves("", &config, &mut paths);
            assert!(!paths.is_empty());
            for path in paths {
                let pointer = format!("/{component}/config/{}", path.replace('.', "/"));
                let is_given = given.pointer(&pointer).is_some();
                let is_suggested = ["log.format", "sites.default"].contains(&path.as_str());
                let is_listed = own.iter().any(|(owner, known)| {
                    owner == component && (path == *known || path.starts_with(&format!("{known}.")))
                });
                assert!(is_given || is_suggested || is_listed, "{component} is given {path}");
            }
        }
    }
}

fn leaves(path: &str, value: &Value, found: &mut Vec<String>) {
    match value.as_object() {
        Some(below) => below.iter().for_each(|(name, inner)| {
            leaves(&if path.is_empty() { name.clone() } else { format!("{path}.{name}") }, inner, found);
        }),
        None => found.push(path.to_owned()),
    }
}

/// Goal: whoever gives nothing, or several things wrong, is told all of it at once; method: the defaults, and a file with
/// four mistakes.
#[test]
fn all_mistakes_at_once() {
    let chart = chart();
    let refusal = chart.refusal(None, &[]).unwrap();
    for words in ["postgres.existingSecret", "redis.existingSecret", "there is no certificate"] {
        assert!(refusal.contains(words), "{refusal}");
    }
    let changes = [
        "gateway.proxyProtocol.enabled=true",
        "worker.replicas=100",
        "admin.api.host=\"a.example\"",
        "gateway.config.runtime={\"shutdown_grace\":\"1s\"}",
    ];
    let refusal = chart.refusal(Some(&values("external")), &changes).unwrap();
    assert_eq!(refusal.lines().filter(|line| line.starts_with("  - ")).count(), 4, "{refusal}");
}
