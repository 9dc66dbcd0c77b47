//! The certificates of a directory, read again when they change. A pair that cannot be used must never displace one
//! that can: then the old one stays, and a warning says so.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, anyhow};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use tmtp_chassis::Health;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::metrics::Metrics;
use crate::sites::by_host;

/// The name of the pair for clients that name no host, or an unknown one.
const DEFAULT: &str = "default";
const SECONDS_PER_DAY: i64 = 24 * 60 * 60;

/// The certificates that are in use. Lookups take no lock.
pub struct Certificates {
    directory: PathBuf,
    used: ArcSwap<Used>,
    /// What is known of each pair in the directory; locked only while it is read.
    pairs: Mutex<HashMap<PathBuf, Pair>>,
}

#[derive(Default)]
struct Used {
    by_name: HashMap<String, Arc<CertifiedKey>>,
    default: Option<Arc<CertifiedKey>>,
}

/// A pair of files.
struct Pair {
    /// As they were when they were last read.
    stamp: Stamp,
    /// The last that could be used.
    good: Option<Certificate>,
}

/// Tells whether files have changed.
type Stamp = [(SystemTime, u64); 2];

struct Certificate {
    key: Arc<CertifiedKey>,
    names: Vec<String>,
    /// Seconds since 1970.
    expires: i64,
}

/// What a look at the directory found.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// Certificates in use.
    pub usable: usize,
    /// Days until the first of them expires.
    pub days_left: Option<i64>,
}

impl Certificates {
    /// The certificates of a directory that has not been looked at.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory, used: ArcSwap::default(), pairs: Mutex::default() }
    }

    /// Looks at the directory, and reports what it found.
    pub async fn load(self: &Arc<Self>, metrics: &Metrics, health: &Health) {
        let this = Arc::clone(self);
        // The directory may be on a network, and there may be many files.
        let Ok(found) = tokio::task::spawn_blocking(move || this.look()).await else { return };
        let result = match found {
            Ok(Found { usable: 0, .. }) => Err("no usable certificate".to_owned()),
            Ok(found) => {
                metrics.certificate_days_left.set(found.days_left.unwrap_or_default());
                Ok(())
            }
            Err(error) => Err(format!("cannot read the directory of certificates: {error}")),
        };
        health.set("certificates", result);
    }

    /// The certificate for a client that asks for this host, or for none, and gets the site with these domains: the
    /// host's own, else one of the site's, else the default.
    pub fn find(&self, host: Option<&str>, domains: &[String]) -> Option<Arc<CertifiedKey>> {
        let used = self.used.load();
        let mut names = host.into_iter().chain(domains.iter().map(String::as_str));
        names.find_map(|name| by_host(&used.by_name, name)).or(used.default.as_ref()).cloned()
    }

    /// Looks at the directory: reads what is new or changed, forgets what is gone.
    pub fn look(&self) -> io::Result<Found> {
        let files = list(&self.directory)?;
        let mut pairs = self.pairs.lock();
        let mut changed = false;
        pairs.retain(|path, _| {
            let stays = files.iter().any(|pair| pair.certificate == *path);
            changed |= !stays;
            stays
        });
        for file in &files {
            // A pair that is just being replaced may lack a file for a moment; then it stays as it was.
            let Ok(stamp) = file.stamp() else { continue };
            let known = pairs.get(&file.certificate);
            if known.is_some_and(|pair| pair.stamp == stamp) {
                continue;
            }
            changed = true;
            let good = match file.read() {
                Ok(certificate) => {
                    tracing::info!(file = %file.certificate.display(), names = ?certificate.names, "certificate read");
                    Some(certificate)
                }
                Err(error) => {
                    tracing::warn!(
                        file = %file.certificate.display(), error = format!("{error:#}"),
                        "certificate cannot be used; the one before stays in use"
                    );
                    pairs.remove(&file.certificate).and_then(|pair| pair.good)
                }
            };
            pairs.insert(file.certificate.clone(), Pair { stamp, good });
        }
        if changed {
            self.used.store(Arc::new(used(&pairs)));
        }
        let good = || pairs.values().filter_map(|pair| pair.good.as_ref());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().cast_signed();
        let days_left = good().map(|one| (one.expires - now).div_euclid(SECONDS_PER_DAY)).min();
        Ok(Found { usable: good().count(), days_left })
    }
}

/// Which certificate serves which name. Of several for one name the one that lives longest does.
fn used(pairs: &HashMap<PathBuf, Pair>) -> Used {
    let mut used = Used::default();
    let mut by_expiry: Vec<(&PathBuf, &Certificate)> =
        pairs.iter().filter_map(|(path, pair)| Some((path, pair.good.as_ref()?))).collect();
    by_expiry.sort_by_key(|(_, certificate)| certificate.expires);
    for (path, certificate) in by_expiry {
        let in_folder = path.file_name().is_some_and(|name| name == "tls.crt");
        let name = if in_folder { path.parent().and_then(Path::file_name) } else { path.file_stem() };
        if name.is_some_and(|name| name == DEFAULT) {
            used.default = Some(Arc::clone(&certificate.key));
        }
        for name in &certificate.names {
            used.by_name.insert(name.clone(), Arc::clone(&certificate.key));
        }
    }
    used
}

/// A pair of files, found by name.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// The pairs of a directory, and of the directories in it as Kubernetes mounts secrets.
fn list(directory: &Path) -> io::Result<Vec<Files>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        // Kubernetes keeps what it mounts in hidden directories, and links to it.
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
            continue;
        }
        if path.is_dir() {
            files.push(Files { certificate: path.join("tls.crt"), key: path.join("tls.key") });
        } else if path.extension().is_some_and(|extension| extension == "crt") {
            files.push(Files { key: path.with_extension("key"), certificate: path });
        }
    }
    Ok(files)
}

impl Files {
    fn stamp(&self) -> io::Result<Stamp> {
        let stamp = |path: &Path| {
            let data = fs::metadata(path)?;
            Ok::<_, io::Error>((data.modified()?, data.len()))
        };
        Ok([stamp(&self.certificate)?, stamp(&self.key)?])
    }

    fn read(&self) -> anyhow::Result<Certificate> {
        let chain = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| anyhow!("read certificates: {error}"))?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| anyhow!("read key: {error}"))?;
        let first = chain.first().context("no certificate in the file")?;
        let (_, parsed) = X509Certificate::from_der(first).context("parse certificate")?;
        let expires = parsed.validity().not_after.timestamp();
        let names = names(&parsed)?;
        // This also checks that the key is the certificate's.
        let key = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).context("use key")?;
        Ok(Certificate { key: Arc::new(key), names, expires })
    }
}

/// The host names that a certificate is for, in lower case; `*.` in front stands for one label.
fn names(certificate: &X509Certificate<'_>) -> anyhow::Result<Vec<String>> {
    let Some(extension) = certificate.subject_alternative_name().context("read names")? else {
        return Ok(Vec::new());
    };
    let dns = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    };
    Ok(extension.value.general_names.iter().filter_map(dns).collect())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use tempfile::TempDir;

    use super::*;

    /// Makes a pair and returns the certificate's octets.
    fn write(directory: &Path, certificate: &str, key: &str, names: &[&str]) -> Vec<u8> {
        let pair = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let made = CertificateParams::new(names).unwrap().self_signed(&pair).unwrap();
        fs::create_dir_all(directory.join(certificate).parent().unwrap()).unwrap();
        fs::write(directory.join(certificate), made.pem()).unwrap();
        fs::write(directory.join(key), pair.serialize_pem()).unwrap();
        made.der().to_vec()
    }

    fn served(certificates: &Certificates, host: Option<&str>) -> Option<Vec<u8>> {
        certificates.find(host, &[]).map(|key| key.cert[0].to_vec())
    }

    /// Goal: a site's certificate serves all who get the site, whatever they call it; method: sites of two domains with a
    /// certificate for one of them, by the other and by none, with and without a default, and a site without any.
    #[test]
    fn a_site_lends_its_certificate() {
        let directory = TempDir::new().unwrap();
        let path = directory.path();
        let one = write(path, "one.crt", "one.key", &["one.example"]);
        let wild = write(path, "wild.crt", "wild.key", &["*.wild.example"]);
        let certificates = Certificates::new(path.to_owned());
        certificates.look().unwrap();
        let served = |host, domains: &[&str]| {
            let domains: Vec<String> = domains.iter().map(|&domain| domain.to_owned()).collect();
            certificates.find(host, &domains).map(|key| key.cert[0].to_vec())
        };
        let ours = ["uno.example", "one.example"];
        for host in [Some("one.example"), Some("uno.example"), Some("192.0.2.1"), None] {
            assert_eq!(served(host, &ours).as_ref(), Some(&one), "{host:?}");
        }
        assert_eq!(served(None, &["*.wild.example"]).as_ref(), Some(&wild));
        assert_eq!(served(Some("a.wild.example"), &ours).as_ref(), Some(&wild), "the host's own comes first");
        assert_eq!(served(None, &["other.example"]), None);

        let default = write(path, "default.crt", "default.key", &["localhost"]);
        certificates.look().unwrap();
        assert_eq!(served(None, &["other.example"]).as_ref(), Some(&default));
        assert_eq!(served(None, &ours).as_ref(), Some(&one));
    }

    /// Goal: each name gets its certificate; method: files, a wildcard, a folder as of Kubernetes, and the default.
    #[test]
    fn chosen_by_name() {
        let directory = TempDir::new().unwrap();
        let path = directory.path();
        let one = write(path, "one.crt", "one.key", &["One.example", "*.wild.example"]);
        let two = write(path, "two/tls.crt", "two/tls.key", &["two.example"]);
        let default = write(path, "default.crt", "default.key", &["localhost"]);
        let certificates = Certificates::new(path.to_owned());
        let found = certificates.look().unwrap();
        assert_eq!(found.usable, 3);
        assert!(found.days_left.unwrap() > 365);
        for (host, expected) in [
            (Some("one.example"), &one),
            (Some("ONE.example"), &one),
            (Some("a.wild.example"), &one),
            (Some("two.example"), &two),
            (Some("a.b.wild.example"), &default),
            (Some("localhost"), &default),
            (None, &default),
        ] {
            assert_eq!(served(&certificates, host).as_ref(), Some(expected), "{host:?}");
        }
    }

    /// Goal: without a default pair unknown names get nothing; method: one certificate, two lookups.
    #[test]
    fn no_default_no_certificate() {
        let directory = TempDir::new().unwrap();
        write(directory.path(), "one.crt", "one.key", &["one.example"]);
        let certificates = Certificates::new(directory.path().to_owned());
        certificates.look().unwrap();
        assert!(served(&certificates, None).is_none());
        assert!(served(&certificates, Some("two.example")).is_none());
    }

    /// Goal: a change is taken in, a broken one is not, and what is removed is forgotten; method: renew a pair, put a
    /// foreign key beside it, repair it, remove it.
    #[test]
    fn reload() {
        let directory = TempDir::new().unwrap();
        let path = directory.path();
        let first = write(path, "one.crt", "one.key", &["one.example"]);
        let certificates = Certificates::new(path.to_owned());
        certificates.look().unwrap();
        assert_eq!(served(&certificates, Some("one.example")), Some(first));

        let second = write(path, "one.crt", "one.key", &["one.example", "more.example"]);
        certificates.look().unwrap();
        assert_eq!(served(&certificates, Some("more.example")), Some(second.clone()));

        let other = KeyPair::generate().unwrap().serialize_pem();
        fs::write(path.join("one.key"), format!("{other}\n")).unwrap();
        assert_eq!(certificates.look().unwrap().usable, 1);
        assert_eq!(served(&certificates, Some("one.example")), Some(second.clone()));
        fs::write(path.join("one.crt"), "junk").unwrap();
        assert_eq!(certificates.look().unwrap().usable, 1);
        assert_eq!(served(&certificates, Some("one.example")), Some(second));

        let third = write(path, "one.crt", "one.key", &["one.example"]);
        certificates.look().unwrap();
        assert_eq!(served(&certificates, Some("one.example")), Some(third));

        fs::remove_file(path.join("one.crt")).unwrap();
        assert_eq!(certificates.look().unwrap().usable, 0);
        assert!(served(&certificates, Some("one.example")).is_none());
    }
}
