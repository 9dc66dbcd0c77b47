//! What a container finds: its volumes as folders below a root, and its environment, as kubelet makes them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::release::{list, text};
use crate::{Pod, Release};

/// The contents of a key of a Secret that exists outside of the release: (secret, key).
pub type Contents<'a> = &'a dyn Fn(&str, &str) -> Vec<u8>;

/// Writes the files of all volumes of a container below `root`, at the paths at which they are mounted, and makes folders
/// for volumes that are empty.
///
/// # Errors
/// When something that is referred to does not exist, or a file cannot be written.
pub fn mount(release: &Release, pod: Pod, container: &Value, existing: Contents, root: &Path) -> Result<()> {
    for at in list(&container["volumeMounts"]) {
        let name = text(at, "/name");
        let volume = list(&pod.spec["volumes"])
            .find(|volume| text(volume, "/name") == name)
            .with_context(|| format!("there is no volume {name}"))?;
        let folder = root.join(text(at, "/mountPath").trim_start_matches('/'));
        fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        for (file, octets) in files(release, volume, existing)? {
            let path = folder.join(file);
            fs::write(&path, octets).with_context(|| format!("write {}", path.display()))?;
        }
    }
    Ok(())
}

/// The files of a volume, by name.
fn files(release: &Release, volume: &Value, existing: Contents) -> Result<BTreeMap<String, Vec<u8>>> {
    let (kind, source) = if volume.get("configMap").is_some() {
        ("ConfigMap", &volume["configMap"])
    } else if volume.get("secret").is_some() {
        ("Secret", &volume["secret"])
    } else if volume.get("emptyDir").is_some() {
        return Ok(BTreeMap::new());
    } else {
        bail!("a volume of no known kind: {volume}");
    };
    let name = text(source, if kind == "Secret" { "/secretName" } else { "/name" });
    let keys = keys(release, kind, name)?;
    let mut items: Vec<(&str, &str)> =
        list(&source["items"]).map(|item| (text(item, "/key"), text(item, "/path"))).collect();
    if source.get("items").is_none() {
        items = keys.iter().map(|key| (key.as_str(), key.as_str())).collect();
    }
    items
        .into_iter()
        .map(|(key, path)| Ok((path.to_owned(), content(release, kind, name, key, existing)?)))
        .collect()
}

fn keys(release: &Release, kind: &str, name: &str) -> Result<Vec<String>> {
    if let Some(data) = release.data(kind, name)? {
        return Ok(data.into_keys().collect());
    }
    // cert-manager makes it.
    if kind == "Secret" && release.all("Certificate").any(|made| text(&made.0, "/spec/secretName") == name) {
        return Ok(vec!["tls.crt".to_owned(), "tls.key".to_owned()]);
    }
    let existing = release.existing.secrets.get(name).filter(|_| kind == "Secret");
    Ok(existing.with_context(|| format!("there is no {kind} {name}"))?.iter().cloned().collect())
}

/// What a key of a Secret or ConfigMap holds.
///
/// # Errors
/// When there is no such key, in the release or outside.
pub fn content(release: &Release, kind: &str, name: &str, key: &str, existing: Contents) -> Result<Vec<u8>> {
    if !keys(release, kind, name)?.iter().any(|known| known == key) {
        bail!("{kind} {name} has no key {key}");
    }
    match release.data(kind, name)?.and_then(|mut data| data.remove(key)) {
        Some(octets) => Ok(octets),
        None => Ok(existing(name, key)),
    }
}

/// The environment of a container.
///
/// # Errors
/// When something that is referred to does not exist, or is no text.
pub fn environment(
    release: &Release,
    container: &Value,
    existing: Contents,
) -> Result<BTreeMap<String, String>> {
    let mut variables = BTreeMap::new();
    for variable in list(&container["env"]) {
        let name = text(variable, "/name").to_owned();
        let value = match variable.pointer("/valueFrom/secretKeyRef") {
            Some(from) => {
                let octets = content(release, "Secret", text(from, "/name"), text(from, "/key"), existing)?;
                String::from_utf8(octets).with_context(|| format!("{name} is no text"))?
            }
            None => match variable["value"].as_str() {
                Some(value) => value.to_owned(),
                None => bail!("{name} has a value of no known kind: {variable}"),
            },
        };
        variables.insert(name, value);
    }
    Ok(variables)
}
