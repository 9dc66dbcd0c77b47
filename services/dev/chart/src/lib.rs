//! The Helm chart as data: rendered by the real `helm`, laid out as kubelet would, and held against rules that all
//! manifests of all values have to obey.
//!
//! Nothing here may need a cluster, and nothing may guess what Helm does: templates are rendered by Helm alone.
//!
//! | module | does |
//! |---|---|
//! | [`Chart`] | the chart's folder and the program `helm`: lint, render, refuse |
//! | [`Release`], [`Manifest`], [`Pod`] | what was rendered |
//! | [`Existing`] | what a values file expects to find in the cluster |
//! | [`layout`] | a pod's volumes as folders, and its environment |
//! | [`rules`] | what holds for all manifests |
//! | [`reference`] | the table of values and the schema of settings, made from their sources |

mod chart;
mod existing;
pub mod layout;
pub mod reference;
mod release;
pub mod rules;

pub use chart::{Chart, HELM, repository};
pub use existing::Existing;
pub use release::{Manifest, Pod, Release, text, yaml};
