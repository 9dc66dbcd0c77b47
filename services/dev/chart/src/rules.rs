//! What holds for all manifests of all values. A rule is a function from a release to problems in words; each is shown to
//! find what breaks it by a test that breaks it.

mod containers;
mod hooks;
mod network;
mod references;
mod secrets;
mod selectors;
mod timing;

use crate::Release;

/// A rule: its name, and what it finds.
pub type Rule = (&'static str, fn(&Release) -> Vec<String>);

/// All of them.
pub const ALL: &[Rule] = &[
    ("containers are confined", containers::confined),
    ("containers are probed", containers::probed),
    ("containers have requests and limits", containers::sized),
    ("no tag moves", containers::pinned),
    ("accounts have no tokens", containers::tokenless),
    ("no secret outside of Secrets", secrets::hidden),
    ("what is referred to exists", references::exist),
    ("volumes are mounted", references::mounted),
    ("selectors find what they mean", selectors::find),
    ("scaled workloads have no count", selectors::scaled),
    ("hooks have what they need", hooks::supplied),
    ("programs listen at the ports of their containers", network::listened),
    ("open ports are listened at", network::opened),
    ("both ends of a connection are open", network::agreed),
    ("pods are closed by default", network::closed),
    ("there is time to drain", timing::patient),
    ("rolling upgrades keep everybody served", timing::rolled),
];

/// Everything that is wrong with a release, one line per problem.
pub fn check(release: &Release) -> Vec<String> {
    ALL.iter()
        .flat_map(|(name, rule)| rule(release).into_iter().map(move |problem| format!("{name}: {problem}")))
        .collect()
}
