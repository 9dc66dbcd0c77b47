//! Whether a chain of certificates and a key can serve a site. Pure: the time is passed in.
//!
//! Nothing is trusted here, because a site's members may well trust an authority of their own; but everything that would
//! make every client refuse it is refused here already, with words that say what to do.

mod chain;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use tmtp_domain::covers;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// Larger texts hold no chain that a client would want to be sent.
const PEM_OCTETS_MAX: usize = 64 << 10;
/// Real ones have two or three.
const CHAIN_MAX: usize = 8;
/// Names per certificate; authorities stop at 100.
const NAMES_MAX: usize = 200;
pub(super) const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// A certificate that ends within this time is warned of.
pub(super) const WARN_DAYS: i64 = 14;

/// A certificate that can serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// In DER, its own first.
    pub chain: Vec<Vec<u8>>,
    /// The host names that it is for: lower case, sorted.
    pub names: Vec<String>,
    /// Who issued it.
    pub issuer: String,
    /// From when (ms since 1970).
    pub not_before: i64,
    /// Until when (ms since 1970).
    pub not_after: i64,
    /// What is good to know, though it serves.
    pub warnings: Vec<Warning>,
}

/// What is good to know about a certificate that serves.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// Not every domain of the site has its name in it.
    #[error("it does not cover {}: clients that ask for that get another certificate", .0.join(", "))]
    Uncovered(Vec<String>),
    /// Names that are none of the site's domains.
    #[error("the site does not have {}: the certificate does not serve that here", .0.join(", "))]
    Foreign(Vec<String>),
    /// Near its end.
    #[error("it expires in {0} days: bring a new one, or have it ordered by ACME")]
    ExpiresSoon(i64),
    /// Over.
    #[error("it has expired: bring a new one, or have it ordered by ACME")]
    Expired,
    /// Issued by itself.
    #[error("it is issued by itself: only clients that were told to trust it will accept it")]
    SelfSigned,
    /// The chain goes on to the root.
    #[error("the last certificate of the chain is a root, which clients ignore: it can be left out")]
    RootIncluded,
}

impl Warning {
    /// For programs; never changes once it has been shipped.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Uncovered(_) => "domains_uncovered",
            Self::Foreign(_) => "names_foreign",
            Self::ExpiresSoon(_) => "expires_soon",
            Self::Expired => "expired",
            Self::SelfSigned => "self_signed",
            Self::RootIncluded => "root_included",
        }
    }
}

/// Why a certificate cannot serve. Certificates are counted from 1, its own being the first.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Too much text.
    #[error(
        "the text is larger than {PEM_OCTETS_MAX} octets: send the certificate and those of its issuers only"
    )]
    TooLarge,
    /// No certificate in it.
    #[error("there is no certificate: send PEM, beginning with -----BEGIN CERTIFICATE-----")]
    NoCertificate,
    /// Too many.
    #[error(
        "there are more than {CHAIN_MAX} certificates: send the certificate and those of its issuers only"
    )]
    TooMany,
    /// Not readable.
    #[error("certificate {0} cannot be read: send it as PEM, as the authority issued it")]
    Unreadable(usize),
    /// No key in it.
    #[error("there is no private key: send PEM, beginning with -----BEGIN PRIVATE KEY-----")]
    NoKey,
    /// The key has a password.
    #[error("the private key is encrypted: decrypt it first (openssl pkey -in KEY)")]
    EncryptedKey,
    /// A kind of key that is not supported.
    #[error(
        "the private key cannot be used: send an ECDSA (P-256 or P-384), Ed25519, or RSA key (2048 bits or more)"
    )]
    UnusableKey,
    /// Another certificate's.
    #[error(
        "the private key is not that of the first certificate: send the key that the certificate was made for"
    )]
    OtherKey,
    /// Too short.
    #[error("certificate {0} has an RSA key of {1} bits: clients refuse less than 2048")]
    ShortKey(usize, usize),
    /// Signed with something broken.
    #[error("certificate {0} is signed with SHA-1 or MD5, which clients refuse: have it issued anew")]
    WeakSignature(usize),
    /// An issuer's certificate in the first place.
    #[error("the first certificate is that of an authority: put the server's own certificate first")]
    Authority,
    /// Not for servers.
    #[error("the certificate is not for servers: have one issued for server authentication")]
    NotForServers,
    /// No host name in it.
    #[error("the certificate names no host: have one issued with subject alternative names")]
    NoNames,
    /// None of the site's.
    #[error("the certificate is for {}, and the site has none of these domains: add the domain first", .0.join(", "))]
    CoversNone(Vec<String>),
    /// It is over.
    #[error("certificate {0} has expired: have it issued anew")]
    Expired(usize),
    /// Not yet.
    #[error("certificate {0} is not valid yet: send it again when it is")]
    NotYet(usize),
    /// The issuer is missing.
    #[error("the certificate of the issuer is missing: append that of \"{0}\" to the chain")]
    IssuerMissing(String),
    /// Something else in its place.
    #[error("certificate {0} is not issued by the one behind it: put each one's issuer right behind it")]
    Order(usize),
    /// The signature does not hold.
    #[error(
        "the signature on certificate {0} is not that of the one behind it: send the chain as it was issued"
    )]
    Signature(usize),
    /// An issuer that must not issue.
    #[error("certificate {0} is not that of an authority, and so cannot have issued the one before it")]
    NotAnAuthority(usize),
}

impl Refusal {
    /// For programs; never changes once it has been shipped.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge | Self::TooMany => "certificate_too_large",
            Self::NoCertificate | Self::Unreadable(_) => "certificate_unreadable",
            Self::NoKey | Self::EncryptedKey | Self::UnusableKey => "key_unusable",
            Self::OtherKey => "key_mismatch",
            Self::ShortKey(..) | Self::WeakSignature(_) => "certificate_weak",
            Self::Authority | Self::NotForServers => "certificate_not_for_servers",
            Self::NoNames | Self::CoversNone(_) => "certificate_names",
            Self::Expired(_) => "certificate_expired",
            Self::NotYet(_) => "certificate_not_yet_valid",
            Self::IssuerMissing(_) | Self::Order(_) | Self::Signature(_) | Self::NotAnAuthority(_) => {
                "certificate_chain"
            }
        }
    }

    /// For people; the same for every one with this code.
    pub fn title(&self) -> &'static str {
        match self.code() {
            "key_unusable" | "key_mismatch" => "The private key cannot be used.",
            _ => "The certificate cannot be used.",
        }
    }

    /// Which of the two texts it is about.
    pub fn param(&self) -> &'static str {
        match self {
            Self::NoKey | Self::EncryptedKey | Self::UnusableKey | Self::OtherKey => "private_key",
            _ => "certificate",
        }
    }
}

/// Checks a chain and its key, both in PEM, for a site with these domains (lower case). Returns the key in DER, too.
pub fn check(
    chain: &str,
    key: &str,
    domains: &[String],
    now: i64,
) -> Result<(Checked, PrivateKeyDer<'static>), Refusal> {
    if chain.len().max(key.len()) > PEM_OCTETS_MAX {
        return Err(Refusal::TooLarge);
    }
    let octets = read_chain(chain)?;
    let key = read_key(key)?;
    let certificates = octets
        .iter()
        .enumerate()
        .map(|(index, octets)| match X509Certificate::from_der(octets) {
            Ok(([], parsed)) => Ok(parsed),
            _ => Err(Refusal::Unreadable(index + 1)),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let own = certificates.first().ok_or(Refusal::NoCertificate)?;
    chain::check_own(own)?;
    chain::check_all(&certificates, now)?;
    check_key(&octets, &key)?;

    let names = names(own)?;
    if !domains.iter().any(|domain| names.iter().any(|name| covers(name, domain))) {
        return Err(Refusal::CoversNone(names));
    }
    let ms = |time: x509_parser::time::ASN1Time| time.timestamp().saturating_mul(1_000);
    let not_after = ms(own.validity().not_after);
    let mut found = warnings(&names, domains, not_after, now);
    if chain::is_self_issued(own) {
        found.push(Warning::SelfSigned);
    } else if certificates.last().is_some_and(chain::is_self_issued) {
        found.push(Warning::RootIncluded);
    }
    let checked = Checked {
        names,
        issuer: own.issuer().to_string(),
        not_before: ms(own.validity().not_before),
        not_after,
        warnings: found,
        chain: octets.iter().map(|octets| octets.to_vec()).collect(),
    };
    Ok((checked, key))
}

/// What is good to know about a certificate with these names and this end, at a site with these domains.
pub fn warnings(names: &[String], domains: &[String], not_after: i64, now: i64) -> Vec<Warning> {
    let is_covered = |domain: &&String| names.iter().any(|name| covers(name, domain));
    let uncovered: Vec<String> = domains.iter().filter(|domain| !is_covered(domain)).cloned().collect();
    let is_own = |name: &&String| domains.iter().any(|domain| covers(name, domain));
    let foreign: Vec<String> = names.iter().filter(|name| !is_own(name)).cloned().collect();
    let days_left = (not_after - now).div_euclid(DAY_MS);
    let found = [
        (!uncovered.is_empty()).then_some(Warning::Uncovered(uncovered)),
        (!foreign.is_empty()).then_some(Warning::Foreign(foreign)),
        (not_after <= now).then_some(Warning::Expired),
        (not_after > now && days_left < WARN_DAYS).then_some(Warning::ExpiresSoon(days_left)),
    ];
    found.into_iter().flatten().collect()
}

fn read_chain(text: &str) -> Result<Vec<CertificateDer<'static>>, Refusal> {
    let mut chain = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
        chain.push(certificate.map_err(|_| Refusal::Unreadable(chain.len() + 1))?);
        if chain.len() > CHAIN_MAX {
            return Err(Refusal::TooMany);
        }
    }
    if chain.is_empty() { Err(Refusal::NoCertificate) } else { Ok(chain) }
}

fn read_key(text: &str) -> Result<PrivateKeyDer<'static>, Refusal> {
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| {
        // Two forms have a password: PKCS #8, and the older one with a header line.
        if text.contains("ENCRYPTED") { Refusal::EncryptedKey } else { Refusal::NoKey }
    })
}

/// That the key can be used, and is the certificate's.
fn check_key(chain: &[CertificateDer<'static>], key: &PrivateKeyDer<'static>) -> Result<(), Refusal> {
    let provider = aws_lc_rs::default_provider();
    match CertifiedKey::from_der(chain.to_vec(), key.clone_key(), &provider) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => Err(Refusal::OtherKey),
        Err(_) => Err(Refusal::UnusableKey),
    }
}

fn names(certificate: &X509Certificate<'_>) -> Result<Vec<String>, Refusal> {
    let extension = certificate.subject_alternative_name().map_err(|_| Refusal::Unreadable(1))?;
    let dns = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    };
    let mut names: Vec<String> = extension
        .map(|extension| extension.value.general_names.iter().filter_map(dns).collect())
        .unwrap_or_default();
    names.sort_unstable();
    names.dedup();
    match names.len() {
        0 => Err(Refusal::NoNames),
        NAMES_MAX.. => Err(Refusal::TooLarge),
        _ => Ok(names),
    }
}

#[cfg(test)]
mod tests;
