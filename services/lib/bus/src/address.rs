//! Where Redis is, and the files by which both sides prove who they are.
//!
//! They are named in the URL, with the words that Postgres' URLs have for the same: the driver's URLs know none. They are
//! read again for each connection, so that renewed ones are used without a restart.

use std::io;

use redis::{
    Client, ClientTlsConfig, ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisError, TlsCertificates,
};
use url::Url;

/// Who vouches for the server, as PEM; else the authorities that the machine trusts.
const CA: &str = "sslrootcert";
/// Our own certificate, as PEM, with those that lead from it to one that the server trusts.
const CERTIFICATE: &str = "sslcert";
/// The private key of it, as PEM.
const KEY: &str = "sslkey";

/// How everything in PEM begins.
const PEM: &[u8] = b"-----BEGIN ";

pub(crate) struct Address {
    info: ConnectionInfo,
    ca: Option<String>,
    /// The certificate and its key.
    own: Option<(String, String)>,
}

impl Address {
    /// # Errors
    /// When the URL is none, or has some of the files where they mean nothing.
    pub(crate) fn parse(url: &str) -> Result<Self, RedisError> {
        let Ok(mut rest) = Url::parse(url) else {
            // The driver knows best what is wrong with it.
            return Ok(Self { info: url.into_connection_info()?, ca: None, own: None });
        };
        let mut take = |name: &str| take(&mut rest, name);
        let (ca, certificate, key) = (take(CA), take(CERTIFICATE), take(KEY));
        if rest.scheme() != "rediss" && (ca.is_some() || certificate.is_some() || key.is_some()) {
            return Err(wrong("sslrootcert, sslcert and sslkey are for URLs that begin with rediss://"));
        }
        let own = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err(wrong("sslcert and sslkey must be given together")),
        };
        Ok(Self { info: rest.as_str().into_connection_info()?, ca, own })
    }

    /// # Errors
    /// When a file cannot be read, or holds nothing.
    pub(crate) async fn client(&self) -> Result<Client, RedisError> {
        if self.ca.is_none() && self.own.is_none() {
            return Client::open(self.info.clone());
        }
        let root_cert = match &self.ca {
            Some(path) => Some(read(CA, path).await?),
            None => None,
        };
        let client_tls = match &self.own {
            Some((certificate, key)) => Some(ClientTlsConfig {
                client_cert: read(CERTIFICATE, certificate).await?,
                client_key: read(KEY, key).await?,
            }),
            None => None,
        };
        Client::build_with_tls(self.info.clone(), TlsCertificates { client_tls, root_cert })
    }
}

/// Takes a parameter out of the URL's query.
fn take(url: &mut Url, name: &str) -> Option<String> {
    let value = url.query_pairs().find(|(key, _)| key == name)?.1.into_owned();
    let rest: Vec<_> = url
        .query_pairs()
        .filter(|(key, _)| key != name)
        .map(|(k, v)| (k.into_owned(), v.into_owned()))
        .collect();
    url.set_query(None);
    if !rest.is_empty() {
        url.query_pairs_mut().extend_pairs(rest);
    }
    Some(value)
}

/// A file that has to have something of PEM in it.
async fn read(parameter: &str, path: &str) -> Result<Vec<u8>, RedisError> {
    let read = tokio::fs::read(path).await.map_err(|error| {
        io::Error::new(error.kind(), format!("cannot read {path}, the {parameter} of the URL: {error}"))
    })?;
    if !read.windows(PEM.len()).any(|part| part == PEM) {
        return Err(io::Error::other(format!("{path}, the {parameter} of the URL, is no PEM")).into());
    }
    Ok(read)
}

fn wrong(what: &'static str) -> RedisError {
    (ErrorKind::InvalidClientConfig, what).into()
}

#[cfg(test)]
mod tests {
    use redis::ConnectionAddr;

    use super::*;

    /// Goal: only our own parameters are taken out, and only where they make sense; method: URLs with and without them.
    #[test]
    fn urls() {
        let full = "rediss://user:p%40ss@redis.test:6380/2?sslrootcert=/ca%20s.crt&protocol=resp3&sslcert=/a&sslkey=/b";
        let address = Address::parse(full).unwrap();
        assert_eq!(address.ca.as_deref(), Some("/ca s.crt"));
        assert_eq!(address.own, Some(("/a".to_owned(), "/b".to_owned())));
        let driver = "rediss://user:p%40ss@redis.test:6380/2?protocol=resp3".into_connection_info().unwrap();
        assert_eq!(format!("{:?}", address.info), format!("{driver:?}"));
        for plain in ["redis://redis.test/", "rediss://redis.test/", "unix:///run/redis.sock"] {
            let address = Address::parse(plain).unwrap();
            assert!(address.ca.is_none() && address.own.is_none());
            assert_eq!(
                matches!(address.info.addr(), ConnectionAddr::TcpTls { .. }),
                plain.starts_with("rediss:")
            );
        }
        for (url, why) in [
            ("redis://redis.test/?sslrootcert=/ca", "begin with rediss://"),
            ("rediss://redis.test/?sslcert=/a", "together"),
            ("rediss://redis.test/?sslkey=/b", "together"),
            ("nonsense", "URL"),
        ] {
            let error = Address::parse(url).err().unwrap().to_string();
            assert!(error.contains(why), "{url}: {error}");
        }
    }
}
