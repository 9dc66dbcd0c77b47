//! `tmtpctl certificate`: a self-signed certificate and its key, so that a local cluster needs no authority.
//! It must never leave a key that others can read, nor replace one without being told to.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, bail};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, PKCS_ECDSA_P256_SHA256};

const DAY: Duration = Duration::from_hours(24);

#[derive(Debug, clap::Args)]
pub(crate) struct Certificate {
    /// Folder for the two files; made if it is missing
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The files are NAME.crt and NAME.key
    #[arg(long, value_parser = parse_name)]
    name: String,
    /// Host name, pattern such as *.example.org, or IP address; may be given several times
    #[arg(long = "domain", value_name = "DOMAIN", required = true)]
    domains: Vec<String>,
    /// How long it is valid
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u16).range(1..=3_650))]
    days: u16,
    /// Replace files that exist
    #[arg(long)]
    force: bool,
}

impl Certificate {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let certificate = self.out.join(format!("{}.crt", self.name));
        let key = self.out.join(format!("{}.key", self.name));
        if !self.force {
            match (certificate.exists(), key.exists()) {
                (true, true) => {
                    println!(
                        "{} and its key are there already; --force replaces them",
                        certificate.display()
                    );
                    return Ok(());
                }
                (false, false) => {}
                (true, false) => bail!("{} has no key beside it; --force makes both", certificate.display()),
                (false, true) => bail!("{} has no certificate beside it; --force makes both", key.display()),
            }
        }
        let (certificate_pem, key_pem) = make(self.domains, self.days).context("make the certificate")?;
        fs::create_dir_all(&self.out).with_context(|| format!("make {}", self.out.display()))?;
        // The certificate comes last, so that who waits for it finds the key.
        write(&key, &key_pem, 0o600)?;
        write(&certificate, &certificate_pem, 0o644)?;
        println!("{} and {} are written", certificate.display(), key.display());
        Ok(())
    }
}

/// Certificate and key as PEM.
fn make(domains: Vec<String>, days: u16) -> anyhow::Result<(String, String)> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let subject = domains.first().cloned().unwrap_or_default();
    let mut params = CertificateParams::new(domains)?;
    params.distinguished_name.push(DnType::CommonName, subject);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let now = SystemTime::UNIX_EPOCH.elapsed().context("the clock stands before 1970")?;
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    // A client whose clock is a little slow shall believe it, too.
    params.not_before = epoch + now.saturating_sub(DAY);
    params.not_after = epoch + now + DAY * u32::from(days);
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// Replaces the file in one step: a gateway that reads just now gets the old or the new one, never half of it.
fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let new = path.with_extension("new");
    let write = || {
        // One that an interrupted run left behind may have another mode.
        let _ = fs::remove_file(&new);
        let mut file = fs::File::options().write(true).create_new(true).mode(mode).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().with_context(|| format!("write {}", path.display()))
}

fn parse_name(text: &str) -> Result<String, String> {
    let is_plain = !text.is_empty() && !text.starts_with('.') && !text.contains(['/', '\0']);
    if is_plain { Ok(text.to_owned()) } else { Err("give a plain file name without ending".into()) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn command(out: &Path, force: bool) -> Certificate {
        let domains = vec!["localhost".into(), "*.postern.test".into(), "127.0.0.1".into()];
        Certificate { out: out.to_owned(), name: "default".into(), domains, days: 1, force }
    }

    /// Goal: a key for nobody else, kept unless forced; method: run it thrice and look at the files.
    #[test]
    fn files_are_private_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("tls");
        let read = |name: &str| fs::read_to_string(out.join(name)).unwrap();
        command(&out, false).run().unwrap();
        let mode = fs::metadata(out.join("default.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let first = (read("default.crt"), read("default.key"));
        command(&out, false).run().unwrap();
        assert_eq!((read("default.crt"), read("default.key")), first);
        command(&out, true).run().unwrap();
        assert_ne!(read("default.crt"), first.0);
        assert_ne!(read("default.key"), first.1);
        assert_eq!(fs::read_dir(&out).unwrap().count(), 2);
    }

    /// Goal: half a pair is nobody's intention; method: remove one file.
    #[test]
    fn half_a_pair_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        command(dir.path(), false).run().unwrap();
        fs::remove_file(dir.path().join("default.key")).unwrap();
        let error = command(dir.path(), false).run().unwrap_err();
        assert!(error.to_string().contains("--force"), "{error}");
    }

    /// Goal: the files stay in their folder; method: names that lead elsewhere.
    #[test]
    fn names_are_plain() {
        assert!(parse_name("default").is_ok());
        assert!(["", ".", "..", "a/b", "../a", "/a"].iter().all(|name| parse_name(name).is_err()));
    }
}
