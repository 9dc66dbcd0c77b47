//! TLS to the private servers: an authority of one's own, and servers that show its certificates.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use crate::account::Account;
use crate::port::free_port;
use crate::{Postgres, Redis};

/// A certificate authority, with the files that those who trust it need.
pub struct Authority {
    dir: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// A new one, which nobody trusts yet.
    ///
    /// # Errors
    /// When its files cannot be written.
    pub fn new() -> Result<Self> {
        let dir =
            tempfile::Builder::new().prefix("postern-authority-").tempdir().context("make a directory")?;
        // Certificates are told apart by their names.
        let mut params = named(&dir.path().to_string_lossy(), [])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let authority = Self { dir, issuer };
        fs::write(authority.certificate(), authority.issuer.pem()).context("write the authority")?;
        Ok(authority)
    }

    /// The file of its own certificate.
    pub fn certificate(&self) -> PathBuf {
        self.dir.path().join("ca.crt")
    }

    /// A certificate for `name`, a host's or anything, in two new files: the certificate, its key.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn issue(&self, name: &str) -> Result<(PathBuf, PathBuf)> {
        self.issue_into(self.dir.path(), name, &Account::ourselves())
    }

    fn issue_into(&self, dir: &Path, name: &str, account: &Account) -> Result<(PathBuf, PathBuf)> {
        let key = KeyPair::generate().context("make a key")?;
        let params = named(name, [name.to_owned()])?;
        let certificate = params.signed_by(&key, &self.issuer).context("sign a certificate")?;
        let paths = (dir.join(format!("{name}.crt")), dir.join(format!("{name}.key")));
        put(&paths.0, &certificate.pem(), account)?;
        put(&paths.1, &key.serialize_pem(), account)?;
        Ok(paths)
    }
}

impl Redis {
    /// Takes connections with TLS on another port, which is the answer, until the next start; with a certificate of
    /// `authority` for 127.0.0.1. Clients must show one of it, too, if `clients` says so.
    ///
    /// # Errors
    /// When the server does not answer, or has no TLS.
    pub fn use_tls(&self, authority: &Authority, clients: bool) -> Result<u16> {
        let dir = self.dir();
        let account = crate::redis::account()?;
        let (certificate, key) = authority.issue_into(&dir, "127.0.0.1", &account)?;
        let ca = dir.join("ca.crt");
        put(&ca, &authority.issuer.pem(), &account)?;
        let port = free_port();
        let path = |path: &Path| path.to_str().map(str::to_owned).context("a name that is not UTF-8");
        let settings = [
            ("tls-cert-file", path(&certificate)?),
            ("tls-key-file", path(&key)?),
            ("tls-ca-cert-file", path(&ca)?),
            ("tls-auth-clients", if clients { "yes" } else { "no" }.to_owned()),
            ("tls-port", port.to_string()),
        ];
        let mut words = vec!["CONFIG", "SET"];
        words.extend(settings.iter().flat_map(|(setting, value)| [*setting, value.as_str()]));
        let reply = self.ask(&words).context("talk to Redis")?;
        ensure!(reply == "+OK\r\n", "Redis takes no TLS: {reply}");
        Ok(port)
    }
}

impl Postgres {
    /// Takes connections over TCP with TLS only, on the port that it has, for the rest of its life; with a certificate of
    /// `authority` for 127.0.0.1. Restarts it.
    ///
    /// # Errors
    /// When it does not start again.
    pub fn use_tls(&self, authority: &Authority) -> Result<()> {
        self.stop()?;
        let data = self.data();
        let account = crate::postgres::account()?;
        let (certificate, key) = authority.issue_into(&data, "127.0.0.1", &account)?;
        let ca = data.join("ca.crt");
        put(&ca, &authority.issuer.pem(), &account)?;
        let conf = data.join("postgresql.conf");
        let old = fs::read_to_string(&conf).context("read the configuration")?;
        let (certificate, key, ca) = (certificate.display(), key.display(), ca.display());
        let new = format!(
            "{old}\nssl = on\nssl_cert_file = '{certificate}'\nssl_key_file = '{key}'\nssl_ca_file = '{ca}'\n"
        );
        put(&conf, &new, &account)?;
        put(&data.join("pg_hba.conf"), "hostssl all all 127.0.0.1/32 trust\n", &account)?;
        self.start_again()
    }
}

fn named<const N: usize>(name: &str, hosts: [String; N]) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(hosts).context("describe a certificate")?;
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

/// Writes a file that only the account reads.
fn put(path: &Path, text: &str, account: &Account) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    let write = || {
        fs::write(path, text)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))
    };
    write().with_context(|| format!("write {}", path.display()))?;
    account.own(path)
}
