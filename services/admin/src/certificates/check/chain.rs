//! A chain of certificates: each one by itself, and each with its issuer.

use x509_parser::der_parser::{Oid, oid};
use x509_parser::oid_registry::{OID_PKCS1_MD5WITHRSAENC, OID_PKCS1_SHA1WITHRSA, OID_SHA1_WITH_RSA};
use x509_parser::prelude::X509Certificate;
use x509_parser::public_key::PublicKey;

use super::Refusal;

/// How nobody may sign any more; the last is ECDSA with SHA-1.
const BROKEN: [Oid<'_>; 4] =
    [OID_PKCS1_MD5WITHRSAENC, OID_PKCS1_SHA1WITHRSA, OID_SHA1_WITH_RSA, oid!(1.2.840.10045.4.1)];
const RSA_BITS_MIN: usize = 2_048;

/// That the first certificate is one of a server.
pub fn check_own(own: &X509Certificate<'_>) -> Result<(), Refusal> {
    // One that is issued by itself may be both.
    if own.is_ca() && !is_self_issued(own) {
        return Err(Refusal::Authority);
    }
    let usage = own.extended_key_usage().map_err(|_| Refusal::Unreadable(1))?;
    if usage.is_some_and(|usage| !usage.value.server_auth && !usage.value.any) {
        return Err(Refusal::NotForServers);
    }
    Ok(())
}

/// That each one is good by itself, and is issued by the one behind it.
pub fn check_all(chain: &[X509Certificate<'_>], now: i64) -> Result<(), Refusal> {
    for (index, certificate) in chain.iter().enumerate() {
        check_one(certificate, index + 1, now)?;
    }
    for (index, pair) in chain.windows(2).enumerate() {
        let [certificate, issuer] = pair else { continue };
        check_issuer(certificate, issuer, index + 1)?;
    }
    match chain {
        // Whoever issued it is an authority that no client knows by itself, or a root, which may be appended as well.
        [own] if !is_self_issued(own) => Err(Refusal::IssuerMissing(own.issuer().to_string())),
        [own] => own.verify_signature(None).map_err(|_| Refusal::Signature(1)),
        _ => Ok(()),
    }
}

/// Whether it names itself as its issuer.
pub fn is_self_issued(certificate: &X509Certificate<'_>) -> bool {
    certificate.issuer().as_raw() == certificate.subject().as_raw()
}

fn check_one(certificate: &X509Certificate<'_>, number: usize, now: i64) -> Result<(), Refusal> {
    let seconds = now.div_euclid(1_000);
    if certificate.validity().not_after.timestamp() < seconds {
        return Err(Refusal::Expired(number));
    }
    if certificate.validity().not_before.timestamp() > seconds {
        return Err(Refusal::NotYet(number));
    }
    if let Ok(PublicKey::RSA(key)) = certificate.public_key().parsed()
        && key.key_size() < RSA_BITS_MIN
    {
        return Err(Refusal::ShortKey(number, key.key_size()));
    }
    // Nobody looks at the signature of a root: it is trusted or not.
    if BROKEN.contains(&certificate.signature_algorithm.algorithm) && !is_self_issued(certificate) {
        return Err(Refusal::WeakSignature(number));
    }
    Ok(())
}

/// `number` is the certificate's; its issuer is the next.
fn check_issuer(
    certificate: &X509Certificate<'_>,
    issuer: &X509Certificate<'_>,
    number: usize,
) -> Result<(), Refusal> {
    if certificate.issuer().as_raw() != issuer.subject().as_raw() {
        return Err(Refusal::Order(number));
    }
    if !issuer.is_ca() {
        return Err(Refusal::NotAnAuthority(number + 1));
    }
    certificate.verify_signature(Some(issuer.public_key())).map_err(|_| Refusal::Signature(number))
}
