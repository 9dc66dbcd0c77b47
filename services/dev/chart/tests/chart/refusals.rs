//! What the chart does not take: unknown values, wrong ones, and combinations that cannot work.

use crate::{chart, values};

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

/// Goal: every combination that cannot work is refused, in words that name the values; method: one at a time.
#[test]
fn impossible_combinations_are_refused() {
    let cases: &[(&str, &[&str], &str)] = &[
        ("external", &["postgres.existingSecret=\"\""], "postgres.existingSecret is empty"),
        ("external", &["redis.existingSecret=\"\""], "redis.existingSecret is empty"),
        ("trial", &["postgres.existingSecret=\"a\""], "postgres.existingSecret and trial.enabled"),
        ("trial", &["redis.existingSecret=\"a\""], "redis.existingSecret and trial.enabled"),
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
        (
            "full",
            &["admin.route={\"enabled\":true,\"parentRefs\":[{\"name\":\"web\"}]}"],
            "one way in is enough",
        ),
        ("gateway-api", &["admin.api.host=\"\"", "admin.public.url=\"\""], "for which host is the HTTPRoute"),
        ("external", &["admin.api.host=\"a.example\""], "nothing would serve it"),
        ("gateway-api", &["admin.api.host=\"join.acme.example\""], "have the same host"),
        ("gateway-api", &["admin.route.parentRefs=[]"], "to which Gateway"),
        ("gateway-api", &["networkPolicy.webFrom=[]"], "networkPolicy.webFrom is empty"),
        ("full", &["networkPolicy.monitoringFrom=[]"], "networkPolicy.monitoringFrom is empty"),
        ("external", &["gateway.config.listen={\"drain_over\":\"1s\"}"], "change gateway.drainSeconds"),
        ("external", &["gateway.config.listen={\"address\":\"0.0.0.0:1\"}"], "change gateway.service.port"),
        ("external", &["gateway.config.bodies={\"s3\":{\"bucket\":\"b\"}}"], "change bodies.s3"),
        (
            "external",
            &["worker.config.postgres={\"url\":\"postgres://h/d\"}"],
            "change postgres.existingSecret",
        ),
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
        (
            "external",
            &["admin.config.listen={\"trust_forwarded_for\":false}"],
            "change admin.ingress or admin.route",
        ),
        ("external", &["admin.config.public={\"web_clients\":[]}"], "there are no pages for invited people"),
        ("full", &["gateway.service.port=8443"], "admin.config.acme.enabled needs gateway.service.port 443"),
    ];
    let chart = chart();
    let mut wrong = Vec::new();
    for (file, changes, words) in cases {
        let refusal = chart.refusal(Some(&values(file)), changes).unwrap_or_else(|error| error.to_string());
        let lines = refusal.lines().filter(|line| line.starts_with("  - ")).count();
        // One cause, one line.
        if lines != 1 || !refusal.contains("these values cannot work") || !refusal.contains(words) {
            wrong.push(format!("{changes:?}: {refusal}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
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
