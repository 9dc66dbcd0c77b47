//! One source for settings: what the chart writes is what the programs read.

use std::collections::BTreeMap;
use std::path::Path;

use tmtp_chart::{Release, layout, rules};
use tmtp_chassis::config::{Config, load};

use crate::{chart, render, stem};

/// What Secrets of the operator's hold, by what their keys are called in the values files.
fn existing(name: &str, key: &str) -> Vec<u8> {
    let text = match (name, key) {
        (_, "current") => "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
        ("cache" | "postern-redis", _) => "redis://user:word@redis.example:6379/",
        ("db" | "postern-postgres", _) => "postgres://user:word@postgres.example:5432/postern",
        _ => "whatever",
    };
    text.as_bytes().to_vec()
}

/// Has a program read its configuration as in its container: file, environment and secrets, laid out below `root`.
fn check<C: Config>(release: &Release, component: &str, root: &Path) -> Result<C, String> {
    let workload = release.own("Deployment", component).map_err(|error| error.to_string())?;
    let pod = workload.pod().expect("a pod");
    let container = pod.main_containers().next().expect("a container");
    layout::mount(release, pod, container, &existing, root).map_err(|error| format!("{error:#}"))?;
    let below = |path: &str| root.join(path.trim_start_matches('/'));
    let environment: BTreeMap<String, String> = layout::environment(release, container, &existing)
        .map_err(|error| format!("{error:#}"))?
        .into_iter()
        .map(|(name, value)| match value.strip_prefix("/etc/postern/") {
            Some(_) => (name, below(&value).to_string_lossy().into_owned()),
            None => (name, value),
        })
        .collect();
    let words: Vec<&str> =
        container["args"].as_array().into_iter().flatten().filter_map(|word| word.as_str()).collect();
    let ["run", "--config", file] = words[..] else { return Err(format!("other arguments: {words:?}")) };
    load::<C>(Some(&below(file)), environment).map_err(|error| error.problems.join("\n"))
}

/// Goal: every setting and every variable that the chart writes exists, and the values are good; method: the programs' own
/// check, for every values file.
#[test]
fn programs_take_what_the_chart_writes() {
    for file in chart().value_files().unwrap() {
        let name = stem(&file);
        let release = render(&name, &[]);
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let gateway: tmtp_gateway::Config = check(&release, "gateway", &root.join("g"))
            .unwrap_or_else(|error| panic!("{name}, gateway: {error}"));
        let worker: tmtp_worker::Config = check(&release, "worker", &root.join("w"))
            .unwrap_or_else(|error| panic!("{name}, worker: {error}"));
        let admin: tmtp_admin::Config = check(&release, "admin", &root.join("a"))
            .unwrap_or_else(|error| panic!("{name}, admin: {error}"));
        // Secrets have arrived, and the two that seal have the same key.
        assert!(worker.postgres.url.is_set() && gateway.redis.url.is_set(), "{name}");
        let keys = [&gateway.secrets.key, &admin.secrets.key].map(|key| key.expose().to_owned());
        assert!(!keys[0].is_empty() && keys[0] == keys[1], "{name}: {keys:?}");
        assert_eq!(gateway.bodies.kind, worker.bodies.kind, "{name}");
        assert_eq!(gateway.sign_in.public_url, admin.public.url, "{name}");
    }
}

/// Goal: numbers of any size, texts with quotes and lists survive the way through Helm; method: settings that Helm's own
/// TOML would spoil.
#[test]
fn values_survive() {
    let changes = [
        "gateway.config.limits={\"body_max\":10737418240,\"links_max\":1000000}",
        "gateway.config.tracing={\"sample_ratio\":1}",
        "gateway.config.log={\"filter\":\"info,a<b>&c\\\"d\\\"=debug\"}",
        "gateway.config.runtime={\"threads\":3}",
    ];
    let root = tempfile::tempdir().unwrap();
    let release = render("external", &changes);
    let gateway: tmtp_gateway::Config = check(&release, "gateway", root.path()).unwrap();
    assert_eq!((gateway.limits.body_max, gateway.limits.links_max), (10_737_418_240, 1_000_000));
    assert!((gateway.tracing.sample_ratio - 1.0).abs() < f64::EPSILON);
    assert!(gateway.log.filter.contains("a<b>&c"), "{}", gateway.log.filter);
    assert_eq!(gateway.runtime.threads, Some(3));
}

/// Goal: the check above would see a wrong variable, a wrong setting and a missing file; method: one of each.
#[test]
fn wrong_settings_are_seen() {
    let root = tempfile::tempdir().unwrap();
    let mut release = render("external", &[]);
    let spoil = |release: &mut Release, pointer: &str, value: &str| {
        let gateway =
            release.manifests.iter_mut().find(|one| one.title() == "Deployment postern-gateway").unwrap();
        *gateway.0.pointer_mut(pointer).expect("it is there") = value.into();
    };
    spoil(&mut release, "/spec/template/spec/containers/0/env/0/name", "TMTP_REDIS__URI_FILE");
    let error = check::<tmtp_gateway::Config>(&release, "gateway", &root.path().join("a")).unwrap_err();
    assert!(error.contains("uri_file"), "{error}");
    spoil(&mut release, "/spec/template/spec/containers/0/env/0/name", "TMTP_REDIS__URL_FILE");
    spoil(&mut release, "/spec/template/spec/containers/0/env/0/value", "/etc/postern/secrets/redis/uri");
    let error = check::<tmtp_gateway::Config>(&release, "gateway", &root.path().join("b")).unwrap_err();
    assert!(error.contains("redis.url_file"), "{error}");
    let good = "/etc/postern/secrets/redis/url";
    spoil(&mut release, "/spec/template/spec/containers/0/env/0/value", good);
    let map = release.manifests.iter_mut().find(|one| one.title() == "ConfigMap postern-gateway").unwrap();
    map.0["data"]["config.toml"] = "[listn]\n".into();
    let error = check::<tmtp_gateway::Config>(&release, "gateway", &root.path().join("c")).unwrap_err();
    assert!(error.contains("listn"), "{error}");
}

/// Goal: what scalers ask for is measured; method: look the names up among the programs' metrics.
#[test]
fn scalers_ask_for_metrics_that_exist() {
    let release = render("full", &[]);
    let gateways = release.own("HorizontalPodAutoscaler", "gateway").unwrap();
    let name = tmtp_chart::text(&gateways.0, "/spec/metrics/0/pods/metric/name");
    assert!(tmtp_gateway::Metrics::NAMES.contains(&name), "{name}");
    let workers = release.own("ScaledObject", "worker").unwrap();
    let query = tmtp_chart::text(&workers.0, "/spec/triggers/0/metadata/query");
    let (_, rest) = query.split_once("sum(").expect("a sum");
    let name = rest.split('{').next().unwrap();
    assert!(tmtp_worker::WorkerMetrics::NAMES.contains(&name), "{name}");
}

/// Goal: a drain window of any length is waited for, with a preStop that grows with it; method: several windows, and the
/// rule about time.
#[test]
fn time_is_computed_from_the_drain_window() {
    let mut times = Vec::new();
    for seconds in [0, 5, 60, 240, 3600] {
        let release = render("external", &[&format!("gateway.drainSeconds={seconds}")]);
        assert_eq!(rules::check(&release), Vec::<String>::new());
        let pod = release.own("Deployment", "gateway").unwrap().pod().unwrap();
        let container = pod.main_containers().next().unwrap();
        let pre_stop =
            container.pointer("/lifecycle/preStop/sleep/seconds").and_then(serde_json::Value::as_u64);
        times.push((pre_stop.unwrap(), pod.spec["terminationGracePeriodSeconds"].as_u64().unwrap()));
    }
    assert_eq!(times, [(2, 29), (2, 34), (15, 102), (30, 297), (30, 3657)]);
}
