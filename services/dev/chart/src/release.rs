//! What Helm rendered: manifests, and the pods that some of them make.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use data_encoding::BASE64;
use serde_json::{Map, Value};

use crate::Existing;

/// One object for Kubernetes.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest(pub Value);

/// Everything that an install makes.
#[derive(Debug, Clone)]
pub struct Release {
    /// What it is called.
    pub name: String,
    /// Where it is.
    pub namespace: String,
    /// In the order in which Helm writes them.
    pub manifests: Vec<Manifest>,
    /// What is there already.
    pub existing: Existing,
}

/// A pod as some manifest describes it.
#[derive(Debug, Clone, Copy)]
pub struct Pod<'a> {
    /// What makes it: a Deployment, a Job, or the Pod itself.
    pub owner: &'a Manifest,
    /// Its labels.
    pub labels: &'a Value,
    /// Its specification.
    pub spec: &'a Value,
}

/// All documents of a YAML text that are not empty.
///
/// # Errors
/// When it is none.
pub fn yaml(text: &str) -> Result<Vec<Value>> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(text).map_err(|error| anyhow::anyhow!("no YAML: {error}"))?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// A text within a value; empty if there is none.
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

impl Manifest {
    /// What kind of object it is.
    pub fn kind(&self) -> &str {
        text(&self.0, "/kind")
    }

    /// Its name.
    pub fn name(&self) -> &str {
        text(&self.0, "/metadata/name")
    }

    /// Both, for people.
    pub fn title(&self) -> String {
        format!("{} {}", self.kind(), self.name())
    }

    /// The events at which Helm makes it as a hook; none if it is none.
    pub fn hooks(&self) -> Vec<&str> {
        let events = self.annotation("helm.sh/hook");
        events.split(',').map(str::trim).filter(|event| !event.is_empty()).collect()
    }

    /// Its place among the hooks of an event: lower ones come first.
    pub fn weight(&self) -> i64 {
        self.annotation("helm.sh/hook-weight").parse().unwrap_or_default()
    }

    fn annotation(&self, name: &str) -> &str {
        self.0["metadata"]["annotations"][name].as_str().unwrap_or_default()
    }

    /// The pod that it describes, if it does.
    pub fn pod(&self) -> Option<Pod<'_>> {
        let at = match self.kind() {
            "Pod" => &self.0,
            "Deployment" | "StatefulSet" | "DaemonSet" | "Job" => &self.0["spec"]["template"],
            _ => return None,
        };
        Some(Pod { owner: self, labels: &at["metadata"]["labels"], spec: &at["spec"] })
    }
}

impl<'a> Pod<'a> {
    /// Whether it runs until somebody stops it.
    pub fn is_long_running(&self) -> bool {
        !matches!(self.owner.kind(), "Job" | "Pod")
    }

    /// Its containers without those that run before.
    pub fn main_containers(&self) -> impl Iterator<Item = &'a Value> + use<'a> {
        list(&self.spec["containers"])
    }

    /// All of them, in the order in which they start.
    pub fn containers(&self) -> impl Iterator<Item = &'a Value> + use<'a> {
        list(&self.spec["initContainers"]).chain(self.main_containers())
    }

    /// Numbers and names of the ports at which its containers listen.
    pub fn ports(&self) -> impl Iterator<Item = (u16, &'a str)> + use<'a> {
        self.main_containers().flat_map(|container| list(&container["ports"])).filter_map(|port| {
            Some((u16::try_from(port["containerPort"].as_u64()?).ok()?, text(port, "/name")))
        })
    }

    /// Whether a selector by labels takes it. An empty one takes everything, a missing one nothing.
    pub fn matches(&self, labels: &Value) -> bool {
        let Some(labels) = labels.as_object() else { return false };
        labels.iter().all(|(name, value)| self.labels.get(name) == Some(value))
    }
}

/// The items of a list that may be missing.
pub(crate) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The fields of an object that may be missing.
pub(crate) fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

impl Release {
    /// From its documents.
    ///
    /// # Errors
    /// When one has no kind or no name, or two have the same.
    pub fn new(name: &str, namespace: &str, documents: Vec<Value>, existing: Existing) -> Result<Self> {
        let manifests: Vec<Manifest> = documents.into_iter().map(Manifest).collect();
        ensure!(!manifests.is_empty(), "nothing was rendered");
        let mut titles: Vec<String> = manifests.iter().map(Manifest::title).collect();
        for manifest in &manifests {
            ensure!(
                !manifest.kind().is_empty() && !manifest.name().is_empty(),
                "no kind or name: {}",
                manifest.0
            );
        }
        titles.sort();
        for pair in titles.windows(2) {
            ensure!(pair[0] != pair[1], "there are two of {}", pair[0]);
        }
        Ok(Self { name: name.to_owned(), namespace: namespace.to_owned(), manifests, existing })
    }

    /// All of a kind.
    pub fn all(&self, kind: &str) -> impl Iterator<Item = &Manifest> {
        self.manifests.iter().filter(move |manifest| manifest.kind() == kind)
    }

    /// One, by kind and name.
    pub fn get(&self, kind: &str, name: &str) -> Option<&Manifest> {
        self.all(kind).find(|manifest| manifest.name() == name)
    }

    /// One of the release's own, as in `("Deployment", "gateway")`.
    ///
    /// # Errors
    /// When it is not there.
    pub fn own(&self, kind: &str, component: &str) -> Result<&Manifest> {
        let name = format!("{}-{component}", self.name);
        self.get(kind, &name).with_context(|| format!("there is no {kind} {name}"))
    }

    /// All pods, those of hooks included.
    pub fn pods(&self) -> impl Iterator<Item = Pod<'_>> {
        self.manifests.iter().filter_map(Manifest::pod)
    }

    /// What a Secret or ConfigMap of the release holds, decoded.
    ///
    /// # Errors
    /// When a Secret is no base64.
    pub fn data(&self, kind: &str, name: &str) -> Result<Option<BTreeMap<String, Vec<u8>>>> {
        let Some(manifest) = self.get(kind, name) else { return Ok(None) };
        let mut data = BTreeMap::new();
        for (key, value) in fields(&manifest.0["data"]) {
            let value = value.as_str().with_context(|| format!("{kind} {name}: {key} is no text"))?;
            let octets = match kind {
                "Secret" => BASE64
                    .decode(value.as_bytes())
                    .with_context(|| format!("{kind} {name}: {key} is no base64"))?,
                _ => value.as_bytes().to_vec(),
            };
            data.insert(key.clone(), octets);
        }
        for (key, value) in fields(&manifest.0["stringData"]) {
            data.insert(key.clone(), value.as_str().unwrap_or_default().as_bytes().to_vec());
        }
        Ok(Some(data))
    }

    /// The configuration file that a component is given, parsed.
    ///
    /// # Errors
    /// When there is none, or it is no TOML.
    pub fn config(&self, component: &str) -> Result<toml::Table> {
        let name = format!("{}-{component}", self.name);
        let data = self.data("ConfigMap", &name)?.with_context(|| format!("there is no ConfigMap {name}"))?;
        let text = data.get("config.toml").with_context(|| format!("{name} has no config.toml"))?;
        let text = String::from_utf8(text.clone()).context("it is no text")?;
        text.parse().with_context(|| format!("{name}: config.toml"))
    }
}
