//! Which of our crates may depend on which. The table is the architecture: a line added here is a decision,
//! and belongs into a commit of its own with its reason.

use toml::Table;

use super::tree::File;
use super::{Problem, Tree};

/// The package for tests only; whatever is in [`LAYERS`] ships.
const TESTKIT: &str = "tmtp-testkit";

/// Our packages that ship, and which of ours each may use. Tests may use anything.
const LAYERS: &[(&str, &[&str])] = &[
    ("tmtp-wire", &[]),
    ("tmtp-domain", &[]),
    ("tmtp-contract", &["tmtp-domain"]),
    ("tmtp-bus", &["tmtp-domain", "tmtp-contract"]),
    ("tmtp-bodies", &["tmtp-domain", "tmtp-contract"]),
    ("tmtp-store", &["tmtp-domain"]),
    // Sign-in tokens are checked where they arrive, at the gateway; the admin server tries providers out.
    ("tmtp-oidc", &["tmtp-domain"]),
    ("tmtp-chassis", &[]),
    ("tmtp-seal", &[]),
    ("tmtp-client", &["tmtp-wire"]),
    (
        "tmtp-gateway",
        &[
            "tmtp-wire",
            "tmtp-domain",
            "tmtp-contract",
            "tmtp-bus",
            "tmtp-bodies",
            "tmtp-oidc",
            "tmtp-seal",
            "tmtp-chassis",
        ],
    ),
    (
        "tmtp-worker",
        &["tmtp-domain", "tmtp-contract", "tmtp-store", "tmtp-bus", "tmtp-bodies", "tmtp-chassis"],
    ),
    (
        "tmtp-admin",
        &["tmtp-domain", "tmtp-contract", "tmtp-store", "tmtp-bus", "tmtp-oidc", "tmtp-seal", "tmtp-chassis"],
    ),
    ("tmtpctl", &["tmtp-wire", "tmtp-client", "tmtp-domain", "tmtp-store", "tmtp-bus", "tmtp-chassis"]),
    ("tmtp-loadtest", &["tmtp-wire", "tmtp-client"]),
];

/// Ours that never ship; they may use whatever they test.
const FREE: &[&str] = &[TESTKIT, "tmtp-chart", "tmtp-e2e", "xtask", "tmtp-fuzz"];

pub(crate) fn check(tree: &Tree) -> Vec<Problem> {
    tree.manifests().flat_map(check_manifest).collect()
}

fn check_manifest(file: &File) -> Vec<Problem> {
    let manifest: Table = match file.text.parse() {
        Ok(manifest) => manifest,
        Err(error) => return vec![Problem::new(&file.path, 1, format!("make it valid TOML: {error}"))],
    };
    let Some(name) = manifest.get("package").and_then(|package| package.get("name")?.as_str()) else {
        return Vec::new();
    };
    if FREE.contains(&name) {
        return Vec::new();
    }
    let Some((_, allowed)) = LAYERS.iter().find(|(layer, _)| *layer == name) else {
        return vec![Problem::new(
            &file.path,
            1,
            format!("add {name} to the layers in xtask (tidy/layers.rs)"),
        )];
    };
    let ours = dependencies(&manifest).into_iter().filter(|(_, package)| is_ours(package));
    let forbidden = ours.filter(|(_, package)| !allowed.contains(&package.as_str()));
    forbidden
        .map(|(key, package)| {
            let advice = if package == TESTKIT {
                format!("move {package} to [dev-dependencies]; nothing that ships may use it")
            } else {
                format!("do not use {package} here: {name} may use {allowed:?} of ours")
            };
            Problem::new(&file.path, line_of(&file.text, &key), advice)
        })
        .collect()
}

fn is_ours(package: &str) -> bool {
    FREE.contains(&package) || LAYERS.iter().any(|(layer, _)| *layer == package)
}

/// What ships: key and package name of all dependencies, for all targets, for building too.
fn dependencies(manifest: &Table) -> Vec<(String, String)> {
    let targets = manifest.get("target").and_then(|targets| targets.as_table());
    let per_target = targets.into_iter().flat_map(Table::values).filter_map(|target| target.as_table());
    let mut found = Vec::new();
    for owner in std::iter::once(manifest).chain(per_target) {
        for kind in ["dependencies", "build-dependencies"] {
            for (key, value) in owner.get(kind).and_then(|table| table.as_table()).into_iter().flatten() {
                let package = value.get("package").and_then(|package| package.as_str()).unwrap_or(key);
                found.push((key.clone(), package.to_owned()));
            }
        }
    }
    found
}

/// The line where the key stands first; the dependencies come before the dev-dependencies by custom.
fn line_of(text: &str, key: &str) -> usize {
    let is_it = |line: &str| {
        let line = line.trim_start().trim_start_matches('"');
        line.strip_prefix(key).is_some_and(|rest| rest.starts_with(['.', ' ', '=', '"']))
            || (line.starts_with('[') && line.contains(&format!("dependencies.{key}]")))
    };
    text.lines().position(is_it).map_or(1, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::places;

    fn problems(manifest: &str) -> Vec<(String, usize)> {
        let tree = Tree::of(&[("x/Cargo.toml", manifest)]);
        places(&check(&tree)).into_iter().map(|(path, line)| (path.to_owned(), line)).collect()
    }

    /// What the table allows is silent, and so are others' crates and dev-dependencies.
    #[test]
    fn allowed_dependencies_are_silent() {
        let manifest = "[package]\nname = \"tmtp-store\"\n[dependencies]\ntmtp-domain.workspace = true\n\
                        sqlx.workspace = true\n[dev-dependencies]\ntmtp-testkit.workspace = true\n";
        assert_eq!(problems(manifest), []);
        assert_eq!(problems("[workspace]\nmembers = []\n"), []);
    }

    /// What it does not allow is found however it is written: dotted, renamed, per target, as a table.
    #[test]
    fn forbidden_dependencies_are_found() {
        for (dependencies, line) in [
            ("[dependencies]\ntmtp-bus.workspace = true\n", 4),
            ("[dependencies]\nbus = { package = \"tmtp-bus\", path = \"../bus\" }\n", 4),
            ("[target.'cfg(unix)'.dependencies]\ntmtp-bus.workspace = true\n", 4),
            ("[build-dependencies]\ntmtp-bus = { workspace = true }\n", 4),
            ("[dependencies.tmtp-bus]\nworkspace = true\n", 3),
        ] {
            let manifest = format!("[package]\nname = \"tmtp-store\"\n{dependencies}");
            assert_eq!(problems(&manifest), [("x/Cargo.toml".to_owned(), line)], "{manifest}");
        }
    }

    /// Nothing that ships may use the kit, and a crate that the table does not know is found.
    #[test]
    fn testkit_does_not_ship_and_unknown_crates_are_found() {
        let manifest = "[package]\nname = \"tmtp-worker\"\n[dependencies]\ntmtp-testkit.workspace = true\n";
        let tree = Tree::of(&[("x/Cargo.toml", manifest)]);
        assert!(
            check(&tree)[0].to_string().contains("x/Cargo.toml:4: move tmtp-testkit to [dev-dependencies]")
        );
        assert_eq!(problems("[package]\nname = \"tmtp-common\"\n"), [("x/Cargo.toml".to_owned(), 1)]);
    }

    /// The table names only packages that it has: each allowed one is a layer itself.
    #[test]
    fn the_table_is_closed() {
        for (layer, allowed) in LAYERS {
            for package in *allowed {
                assert!(LAYERS.iter().any(|(known, _)| known == package), "{layer} uses unknown {package}");
                assert_ne!(package, layer);
            }
        }
    }
}
