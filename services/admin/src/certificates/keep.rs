//! Makes a checked certificate ready to be kept: with an id of its own, and its private key sealed.

use rustls::pki_types::PrivateKeyDer;
use tmtp_domain::{CertificateContent, CertificateId, SiteId, seal_context};
use tmtp_seal::Sealer;
use tmtp_store::{CertificateSource, NewCertificate};
use uuid::Uuid;

use super::Checked;

/// A certificate of a site with its key sealed for it.
pub fn prepare(
    sealer: &Sealer,
    site: SiteId,
    source: CertificateSource,
    checked: Checked,
    key: &PrivateKeyDer<'_>,
) -> Result<NewCertificate, tmtp_seal::Error> {
    let id = CertificateId(Uuid::new_v4());
    let sealed_key = sealer.seal(&seal_context(site, id), key.secret_der())?;
    Ok(NewCertificate {
        id,
        site,
        source,
        names: checked.names,
        issuer: checked.issuer,
        content: CertificateContent { chain: checked.chain, sealed_key },
        not_before: checked.not_before,
        not_after: checked.not_after,
    })
}
