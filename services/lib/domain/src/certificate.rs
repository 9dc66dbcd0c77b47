//! Certificates of sites, as the processes know them, and which host names a certificate is for.

use serde::{Deserialize, Serialize};

use crate::{CertificateId, SiteId};

/// A certificate of a site, without the certificate itself: what a directory needs to choose one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteCertificate {
    /// Which one.
    pub id: CertificateId,
    /// Whose. It serves this site's domains and no others, whatever it says.
    pub site: SiteId,
    /// Counts changes of all certificates together.
    pub revision: i64,
    /// The host names that it is for; lower case. A leading `*.` stands for one label.
    pub names: Vec<String>,
    /// Until when (ms since 1970).
    pub not_after: i64,
    /// Not there any more: whoever knows it has to forget it.
    pub removed: bool,
}

/// A certificate itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateContent {
    /// In DER: its own first, then that of its issuer, and so on.
    #[serde(with = "octets_list")]
    pub chain: Vec<Vec<u8>>,
    /// The private key (PKCS #8 in DER), sealed for [`seal_context`].
    #[serde(with = "serde_bytes")]
    pub sealed_key: Vec<u8>,
}

impl std::fmt::Debug for CertificateContent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CertificateContent({} certificates)", self.chain.len())
    }
}

/// To what place the key of a certificate is sealed.
pub fn seal_context(site: SiteId, certificate: CertificateId) -> String {
    format!("site {site}, certificate {certificate}")
}

/// Whether a certificate for `name` serves clients that ask for `domain`; both in lower case. A domain with a `*.` in
/// front is served only by the same name.
pub fn covers(name: &str, domain: &str) -> bool {
    let wild = || {
        let parent = name.strip_prefix("*.")?;
        let (label, rest) = domain.split_once('.')?;
        Some(label != "*" && rest == parent)
    };
    name == domain || wild().unwrap_or(false)
}

/// Lists of octets in a form that costs one octet each.
mod octets_list {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};
    use serde_bytes::{ByteBuf, Bytes};

    pub fn serialize<S: Serializer>(list: &[Vec<u8>], to: S) -> Result<S::Ok, S::Error> {
        let list: Vec<&Bytes> = list.iter().map(|octets| Bytes::new(octets)).collect();
        list.serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Vec<u8>>, D::Error> {
        Ok(Vec::<ByteBuf>::deserialize(from)?.into_iter().map(ByteBuf::into_vec).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a wildcard stands for exactly one label, and a wildcard domain needs a wildcard; method: pairs.
    #[test]
    fn names_cover_domains() {
        for (name, domain, expected) in [
            ("a.example", "a.example", true),
            ("a.example", "b.example", false),
            ("*.example", "a.example", true),
            ("*.example", "a.b.example", false),
            ("*.example", "example", false),
            ("*.example", "*.example", true),
            ("a.example", "*.example", false),
            ("*.b.example", "*.b.example", true),
            ("*.example", "*.b.example", false),
        ] {
            assert_eq!(covers(name, domain), expected, "{name} for {domain}");
        }
    }
}
