//! The certificates of a cluster: self-signed pairs in the folder that its gateways watch.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::RootCertStore;

/// A folder of pairs NAME.crt and NAME.key.
#[derive(Debug, Clone)]
pub struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    /// An empty folder, which must not exist yet.
    pub(crate) fn create(folder: PathBuf) -> Result<Self> {
        fs::create_dir(&folder).context("make the folder of certificates")?;
        Ok(Self { folder })
    }

    /// Where they are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes a certificate for `domains` under this name, in place of the one that was there. Answers with what a client
    /// that trusts only this certificate needs.
    pub fn put(&self, name: &str, domains: &[&str]) -> Result<RootCertStore> {
        let domains: Vec<String> = domains.iter().map(|&domain| domain.to_owned()).collect();
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(domains).context("make a certificate")?;
        self.replace(&format!("{name}.key"), &signing_key.serialize_pem())?;
        self.replace(&format!("{name}.crt"), &cert.pem())?;
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).context("trust the certificate")?;
        Ok(roots)
    }

    /// Puts anything in place of a file, at once, as an operator's tools do.
    pub fn replace(&self, file: &str, content: &str) -> Result<()> {
        let new = self.folder.join(format!(".{file}.new"));
        fs::write(&new, content).with_context(|| format!("write {}", new.display()))?;
        fs::rename(&new, self.folder.join(file)).with_context(|| format!("replace {file}"))
    }
}
