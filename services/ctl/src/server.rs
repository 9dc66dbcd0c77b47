//! Which server to speak to by hand, and whom to trust there. It must never skip the check of the certificate
//! without being told to.

use std::{future::Future, net::IpAddr, net::SocketAddr, path::Path, path::PathBuf, time::Duration};

use anyhow::{Context as _, ensure};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tmtp_client::{Connect, Trust};
use tokio::net::{TcpStream, lookup_host};

/// For one address to accept; a name may have several.
const DIAL_WAIT: Duration = Duration::from_secs(5);
/// For one answer of the server.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
pub(crate) struct Server {
    /// Where the server is
    #[arg(long = "server", value_name = "HOST:PORT")]
    address: String,
    /// Which site of the server, if it has several: the host name to ask for. Default: HOST, or none for an address
    #[arg(long, value_name = "NAME")]
    sni: Option<String>,
    /// Believe any certificate; only for servers on this machine
    #[arg(long, required_unless_present = "ca", conflicts_with = "ca")]
    insecure: bool,
    /// Believe certificates that this one, or one of this file, has signed (PEM)
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

impl Server {
    /// The first address of the server that accepts connections.
    pub(crate) async fn connect(&self) -> anyhow::Result<Connect> {
        let address = dial(&self.address).await?;
        let server_name = server_name(&self.address, self.sni.as_deref())?;
        Ok(Connect { address, server_name, trust: trust(self.ca.as_deref())? })
    }
}

/// What to ask for in the handshake: what was said, else the host, unless that is an address.
pub(crate) fn server_name(address: &str, sni: Option<&str>) -> anyhow::Result<Option<String>> {
    if let Some(name) = sni {
        return Ok(Some(name.to_owned()));
    }
    let (host, _) = address.rsplit_once(':').with_context(|| format!("{address} needs a port: HOST:PORT"))?;
    let is_address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
    Ok((!is_address).then(|| host.to_owned()))
}

/// Any certificate, or those that the ones of this file have signed.
pub(crate) fn trust(file: Option<&Path>) -> anyhow::Result<Trust> {
    let Some(file) = file else { return Ok(Trust::Any) };
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(file)
        .with_context(|| format!("cannot read the certificates in {}", file.display()))?;
    for certificate in certificates {
        let certificate = certificate.with_context(|| format!("{} is no PEM", file.display()))?;
        roots
            .add(certificate)
            .with_context(|| format!("a certificate in {} is of no use", file.display()))?;
    }
    ensure!(!roots.is_empty(), "there is no certificate in {}", file.display());
    Ok(Trust::Roots(roots))
}

/// The first address of HOST:PORT that accepts a connection. `localhost` is often two addresses, and a server may
/// listen on one of them.
pub(crate) async fn dial(host_and_port: &str) -> anyhow::Result<SocketAddr> {
    let addresses =
        lookup_host(host_and_port).await.with_context(|| format!("cannot find {host_and_port}"))?;
    let mut why = None;
    for address in addresses {
        match tokio::time::timeout(DIAL_WAIT, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Ok(address),
            Ok(Err(error)) => why = Some(anyhow::Error::from(error)),
            Err(late) => why = Some(late.into()),
        }
    }
    let why = why.with_context(|| format!("{host_and_port} has no address"))?;
    Err(why.context(format!("cannot connect to {host_and_port}; does the server run?")))
}

/// An answer, unless it takes too long.
pub(crate) async fn answer<T>(
    what: &str,
    answer: impl Future<Output = Result<T, tmtp_client::Error>>,
) -> anyhow::Result<T> {
    tokio::time::timeout(ANSWER_WAIT, answer)
        .await
        .with_context(|| format!("cannot {what}: no answer within {} s", ANSWER_WAIT.as_secs()))?
        .with_context(|| format!("cannot {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: names are sent as SNI and addresses are not, as real clients do; method: one of each kind.
    #[test]
    fn server_names() {
        let name = |host: &str, sni: Option<&str>| server_name(host, sni).unwrap();
        assert_eq!(name("chat.example.org:1", None).as_deref(), Some("chat.example.org"));
        assert_eq!(name("127.0.0.1:1", None), None);
        assert_eq!(name("[::1]:1", None), None);
        assert_eq!(name("127.0.0.1:1", Some("a.test")).as_deref(), Some("a.test"));
        assert!(server_name("chat.example.org", None).is_err());
    }
}
