//! Time: stops are waited for, and upgrades go one pod after the other.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use crate::Release;
use crate::release::text;

/// What a program may take after its grace, until it has let go of everything.
const AFTER_GRACE: Duration = Duration::from_secs(3);

/// A duration as the programs read it.
#[derive(Deserialize)]
struct Read(#[serde(with = "humantime_serde")] Duration);

fn duration(config: &toml::Table, section: &str, key: &str) -> Option<Duration> {
    let value = config.get(section)?.get(key)?.clone();
    value.try_into::<Read>().ok().map(|read| read.0)
}

/// preStop, drain and grace fit into the time after which kubelet kills.
pub(super) fn patient(release: &Release) -> Vec<String> {
    let mut problems = Vec::new();
    for component in ["gateway", "worker", "admin"] {
        let (Ok(config), Ok(workload)) = (release.config(component), release.own("Deployment", component))
        else {
            problems.push(format!("there is no {component}"));
            continue;
        };
        let Some(pod) = workload.pod() else { continue };
        let title = workload.title();
        let Some(grace) = duration(&config, "runtime", "shutdown_grace") else {
            problems.push(format!("{title} has no grace"));
            continue;
        };
        let pre_stop = pod.main_containers().map(|container| {
            container.pointer("/lifecycle/preStop/sleep/seconds").and_then(serde_json::Value::as_u64)
        });
        let pre_stop = Duration::from_secs(pre_stop.flatten().max().unwrap_or_default());
        let killed = pod.spec["terminationGracePeriodSeconds"].as_u64().unwrap_or(30);
        if Duration::from_secs(killed) < pre_stop + grace + AFTER_GRACE {
            problems.push(format!(
                "{title} is killed after {killed} s, but takes up to {pre_stop:?} and {grace:?}"
            ));
        }
        // Load balancers learn a moment later that a pod ends.
        let is_served = release.all("Service").any(|service| pod.matches(&service.0["spec"]["selector"]));
        if is_served && component != "worker" && pre_stop < Duration::from_secs(2) {
            problems.push(format!("{title} ends while it still gets connections"));
        }
        if component == "gateway" {
            match duration(&config, "listen", "drain_over") {
                Some(drain) if drain < grace => {}
                drain => problems.push(format!("{title} drains over {drain:?} in a grace of {grace:?}")),
            }
        }
    }
    problems
}

/// A pod more, never one less.
pub(super) fn rolled(release: &Release) -> Vec<String> {
    let is_good = json!({ "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 } });
    let mut problems: Vec<String> = release
        .all("Deployment")
        .filter(|deployment| deployment.0["spec"]["strategy"] != is_good)
        .map(|deployment| format!("{} does not go one up, then one down", deployment.title()))
        .collect();
    // The next gateway ends when the one before has let its clients go, and not together with it.
    if let (Ok(config), Ok(gateway)) = (release.config("gateway"), release.own("Deployment", "gateway")) {
        let drain = duration(&config, "listen", "drain_over").unwrap_or_default().as_secs();
        let spec = &gateway.0["spec"];
        let [ready, deadline] =
            ["minReadySeconds", "progressDeadlineSeconds"].map(|key| spec[key].as_u64().unwrap_or(0));
        if ready < drain || deadline <= ready {
            problems.push(format!("{} drains several at once, or gives up before that", gateway.title()));
        }
    }
    for deployment in release.all("Deployment") {
        let budgets = release.all("PodDisruptionBudget").filter(|budget| {
            deployment.pod().is_some_and(|pod| pod.matches(&budget.0["spec"]["selector"]["matchLabels"]))
        });
        if budgets.count() != 1 {
            problems.push(format!("{} has not one disruption budget", deployment.title()));
        }
        // New settings reach a program only with a new pod.
        let at = "/spec/template/metadata/annotations/checksum~1config";
        if text(&deployment.0, at).len() != 64 {
            problems.push(format!("{} does not change with its configuration", deployment.title()));
        }
    }
    problems
}
