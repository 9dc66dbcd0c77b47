//! What a pod finds: its folder, with what is mounted in its containers, and the words in which it is told of it.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::net::Ipv4Addr;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use nix::unistd::geteuid;
use serde_json::Value;
use tmtp_chart::{layout, text};

use super::pod::Plan;

/// Puts what is there in place of what the manifests can only know within a cluster.
pub(super) struct Words {
    pairs: Vec<(String, String)>,
}

impl Words {
    /// For a container whose volumes lie below `root`.
    pub(super) fn new(plan: &Plan, container: &Value, root: &Path, address: Ipv4Addr) -> Self {
        // Folders on the way to it, too, but for those of every system, such as `/etc`.
        let paths = mounts(container).flat_map(|path| Path::new(path).ancestors());
        let paths: BTreeSet<&Path> = paths.filter(|path| path.components().count() > 2).collect();
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut pairs: Vec<(String, String)> =
            paths.into_iter().map(|path| (text(path), text(&below(root, path)))).collect();
        pairs.push(("0.0.0.0".to_owned(), address.to_string()));
        pairs.extend(plan.node.names.iter().map(|(name, at)| (name.clone(), at.to_string())));
        // The longest first, because one path may begin with another.
        pairs.sort_by_key(|(from, _)| std::cmp::Reverse(from.len()));
        Self { pairs }
    }

    /// Replaces whole words: `/a/b` is none of `/a/bc`, and `x` none of `y-x`.
    pub(super) fn replace(&self, words: &str) -> String {
        let mut done = String::new();
        let mut rest = words;
        while !rest.is_empty() {
            let at_start = done.chars().next_back().is_none_or(|before| !is_of_a_word(before));
            let found = self.pairs.iter().find_map(|(from, to)| {
                let after = rest.strip_prefix(from.as_str())?;
                (at_start && after.chars().next().is_none_or(|next| !is_of_a_word(next)))
                    .then_some((to, after))
            });
            if let Some((to, after)) = found {
                done += to;
                rest = after;
            } else {
                let next = rest.chars().next().map_or(0, char::len_utf8);
                done += &rest[..next];
                rest = &rest[next..];
            }
        }
        done
    }
}

fn is_of_a_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.')
}

/// Mounts the volumes of a container below `root`, for the account of its pod only.
pub(super) fn mount(plan: &Plan, container: &Value, root: &Path, words: &Words) -> Result<()> {
    let contents = |secret: &str, key: &str| plan.node.secret(secret, key);
    layout::mount(&plan.release, plan.pod(), container, &contents, root)?;
    for mount in mounts(container) {
        for folder in below(root, mount).ancestors().take_while(|folder| *folder != root) {
            fs::set_permissions(folder, Permissions::from_mode(0o755)).context("let the pod in")?;
        }
        for entry in fs::read_dir(below(root, mount)).context("look into a volume")? {
            let path = entry?.path();
            if let Ok(content) = fs::read_to_string(&path) {
                fs::write(&path, words.replace(&content)).context("put words in place")?;
            }
            let mode = mode(plan, container, mount)?;
            fs::set_permissions(&path, Permissions::from_mode(mode)).context("set a mode")?;
            if geteuid().is_root() {
                chown(&path, Some(0), Some(plan.group())).context("give a file to the group")?;
            }
        }
    }
    Ok(())
}

/// The mode of the files of what is mounted there.
fn mode(plan: &Plan, container: &Value, path: &str) -> Result<u32> {
    let mounts = container["volumeMounts"].as_array().into_iter().flatten();
    let name = mounts.into_iter().find(|one| text(one, "/mountPath") == path).map(|one| text(one, "/name"));
    let volumes = plan.spec["volumes"].as_array().into_iter().flatten();
    let volume =
        volumes.into_iter().find(|one| Some(text(one, "/name")) == name).context("no such volume")?;
    let given = ["secret", "configMap"].iter().find_map(|kind| volume[*kind]["defaultMode"].as_u64());
    ensure!(volume.get("emptyDir").is_none(), "a volume to write to, which is not supported");
    Ok(u32::try_from(given.unwrap_or(0o644))?)
}

fn mounts(container: &Value) -> impl Iterator<Item = &str> {
    container["volumeMounts"].as_array().into_iter().flatten().map(|mount| text(mount, "/mountPath"))
}

fn below(root: &Path, path: impl AsRef<Path>) -> PathBuf {
    root.join(path.as_ref().strip_prefix("/").unwrap_or(path.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: whole words are replaced, and nothing else; method: words that begin or end alike, and all that stands around.
    #[test]
    fn words() {
        let pairs =
            [("/etc/a/b", "/x/b"), ("/etc/a", "/x"), ("0.0.0.0", "127.9.0.1"), ("p-admin", "127.9.255.1")];
        let words = Words { pairs: pairs.map(|(from, to)| (from.to_owned(), to.to_owned())).to_vec() };
        for (from, to) in [
            ("/etc/a/b/c", "/x/b/c"),
            ("/etc/a/bc", "/x/bc"),
            ("/etc/ab", "/etc/ab"),
            ("\"/etc/a\"", "\"/x\""),
            ("u?f=/etc/a/ca&g=/etc/a", "u?f=/x/ca&g=/x"),
            ("address = \"0.0.0.0:80\"", "address = \"127.9.0.1:80\""),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("http://p-admin:80/é", "http://127.9.255.1:80/é"),
            ("p-admin-x up-admin", "p-admin-x up-admin"),
        ] {
            assert_eq!(words.replace(from), to, "{from}");
        }
    }
}
