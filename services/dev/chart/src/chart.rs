//! The chart's folder and the real `helm`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{Existing, Release, yaml};

/// The variable that says where the program is; `deploy/local/test` sets it.
pub const HELM: &str = "POSTERN_TEST_HELM";

/// The name of the release in all tests.
const RELEASE: &str = "postern";
/// Its namespace.
const NAMESPACE: &str = "messaging";

/// The chart, and what renders it.
#[derive(Debug, Clone)]
pub struct Chart {
    helm: PathBuf,
    folder: PathBuf,
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

impl Chart {
    /// The chart of this repository.
    ///
    /// # Errors
    /// When nobody says where Helm is.
    pub fn open() -> Result<Self> {
        let helm = env::var_os(HELM).with_context(|| {
            format!(
                "{HELM} is not set: run the tests with ./deploy/local/test, or set it to the path of Helm 3 \
                 (go install helm.sh/helm/v3/cmd/helm@v3.22.0)"
            )
        })?;
        Ok(Self { helm: helm.into(), folder: repository().join("helm/tmtp") })
    }

    /// The same chart in another folder, for tests that change it.
    pub fn at(&self, folder: &Path) -> Self {
        Self { helm: self.helm.clone(), folder: folder.to_owned() }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The values files that show what the chart can do, by name.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn value_files(&self) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(self.folder.join("ci")).context("read the folder ci")? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                files.push(path);
            }
        }
        ensure!(!files.is_empty(), "there are no values files in ci");
        files.sort();
        Ok(files)
    }

    /// Has Helm look for mistakes.
    ///
    /// # Errors
    /// With what Helm says, warnings included.
    pub fn lint(&self, values: &Path) -> Result<()> {
        let output = self.helm(&["lint", "--strict"], Some(values), &[])?;
        ensure!(output.status.success(), "{}{}", lossy(&output.stdout), lossy(&output.stderr));
        Ok(())
    }

    /// The manifests as Helm writes them, of these values and of changes to them (`path=JSON`).
    ///
    /// # Errors
    /// With what Helm says.
    pub fn template(&self, values: Option<&Path>, changes: &[&str]) -> Result<String> {
        let output = self.helm(&["template", RELEASE, "--namespace", NAMESPACE], values, changes)?;
        ensure!(output.status.success(), "{}", lossy(&output.stderr));
        String::from_utf8(output.stdout).context("Helm wrote no text")
    }

    /// The same as data, with what the values file expects to exist.
    ///
    /// # Errors
    /// When Helm fails, or writes what is no YAML.
    pub fn render(&self, values: &Path, changes: &[&str]) -> Result<Release> {
        let existing = Existing::read(values)?;
        Release::new(RELEASE, NAMESPACE, yaml(&self.template(Some(values), changes)?)?, existing)
    }

    /// Why Helm refuses these values.
    ///
    /// # Errors
    /// When it takes them.
    pub fn refusal(&self, values: Option<&Path>, changes: &[&str]) -> Result<String> {
        match self.template(values, changes) {
            Ok(_) => bail!("Helm takes {changes:?}"),
            Err(error) => Ok(format!("{error:#}")),
        }
    }

    fn helm(&self, words: &[&str], values: Option<&Path>, changes: &[&str]) -> Result<Output> {
        let mut command = Command::new(&self.helm);
        command.args(words).arg(&self.folder);
        if let Some(values) = values {
            command.arg("--values").arg(values);
        }
        for change in changes {
            command.args(["--set-json", change]);
        }
        // No settings of whoever runs the tests, and no cluster of theirs.
        let path = env::var_os("PATH").unwrap_or_default();
        command.env_clear().env("PATH", path).env("HOME", "/nonexistent").env("KUBECONFIG", "/nonexistent");
        command.output().with_context(|| format!("start {}", self.helm.display()))
    }
}

fn lossy(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}
