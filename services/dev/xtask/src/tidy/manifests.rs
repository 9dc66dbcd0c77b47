//! Every crate takes its lints from the workspace, so that none is laxer than the others.

use toml::{Table, Value};

use super::{Problem, Tree};

pub(crate) fn check(tree: &Tree) -> Vec<Problem> {
    let lax = tree.manifests().filter(|file| file.text.parse().is_ok_and(|manifest| is_lax(&manifest)));
    lax.map(|file| Problem::new(&file.path, 1, "add `[lints] workspace = true`")).collect()
}

/// A package inside our workspace that does not inherit. One with a workspace of its own (the fuzz targets)
/// has nothing to inherit.
fn is_lax(manifest: &Table) -> bool {
    let inherits =
        manifest.get("lints").and_then(|lints| lints.get("workspace")) == Some(&Value::Boolean(true));
    manifest.contains_key("package") && !manifest.contains_key("workspace") && !inherits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::places;

    /// Inheriting is asked of every member: one that does, one that does not, and two that cannot.
    #[test]
    fn lints_are_inherited() {
        let tree = Tree::of(&[
            ("a/Cargo.toml", "[package]\nname = \"a\"\n[lints]\nworkspace = true\n"),
            ("b/Cargo.toml", "[package]\nname = \"b\"\n[lints.rust]\nunsafe_code = \"deny\"\n"),
            ("c/Cargo.toml", "[package]\nname = \"c\"\n[workspace]\n"),
            ("Cargo.toml", "[workspace]\nmembers = []\n"),
        ]);
        assert_eq!(places(&check(&tree)), [("b/Cargo.toml", 1)]);
    }
}
