//! The directory of certificates, in the manner of the directory of sites, and the answers that certificate authorities
//! are waiting for. A copy; Postgres is the truth. No private key is here that is not sealed.

use std::time::Duration;

use redis::{cmd, pipe};
use tmtp_domain::{CertificateContent, CertificateId, SiteCertificate};

use crate::parked::chain;
use crate::{Bus, Error, keys};

/// Certificates per round trip: a few kilobytes each.
const PAGE: usize = 200;

/// The answer to a challenge: the SHA-256 of its key authorisation.
pub const CHALLENGE_LEN: usize = 32;

/// `KEYS`: certificates, contents, index, meta. `ARGV`: the revision to raise to, then id, revision, encoding and
/// content of each; a removed one has no content. What is there in a newer revision stays; the directory's revision only
/// grows.
const PUBLISH: &str = r"
for i = 2, #ARGV, 4 do
    local known = redis.call('ZSCORE', KEYS[3], ARGV[i])
    if not known or tonumber(known) <= tonumber(ARGV[i + 1]) then
        redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 2])
        if ARGV[i + 3] == '' then
            redis.call('HDEL', KEYS[2], ARGV[i])
        else
            redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 3])
        end
        redis.call('ZADD', KEYS[3], ARGV[i + 1], ARGV[i])
    end
end
local revision = redis.call('HGET', KEYS[4], 'revision')
if not revision or tonumber(revision) < tonumber(ARGV[1]) then
    redis.call('HSET', KEYS[4], 'revision', ARGV[1])
end
return redis.status_reply('OK')
";

impl Bus {
    /// The newest revision in the directory of certificates; 0 when it is empty.
    pub async fn certificates_revision(&self) -> Result<i64, Error> {
        let revision: Option<i64> =
            self.link.command(cmd("HGET").arg(keys::CERTIFICATES_META).arg("revision")).await?;
        Ok(revision.unwrap_or(0))
    }

    /// The certificates whose revision is above `revision`, by ascending revision, removed ones included.
    ///
    /// One that cannot be decoded is left out, and logged as an error: the others must not suffer for it.
    pub async fn certificates_since(&self, revision: i64) -> Result<Vec<SiteCertificate>, Error> {
        // All names in one answer, as for sites.
        let mut range = cmd("ZRANGEBYSCORE");
        range.arg(keys::CERTIFICATES_INDEX).arg(format!("({revision}")).arg("+inf");
        let ids: Vec<String> = self.link.command(&range).await?;
        let mut certificates = Vec::with_capacity(ids.len());
        for page in ids.chunks(PAGE) {
            let found: Vec<Option<Vec<u8>>> =
                self.link.command(cmd("HMGET").arg(keys::CERTIFICATES).arg(page)).await?;
            for (id, octets) in page.iter().zip(found) {
                let Some(octets) = octets else { continue };
                match rmp_serde::from_slice::<SiteCertificate>(&octets) {
                    Ok(certificate) => certificates.push(certificate),
                    Err(error) => {
                        let error = chain(&error);
                        tracing::error!(certificate.id = %id, error, "cannot decode certificate in the directory");
                    }
                }
            }
        }
        certificates.sort_by_key(|certificate| certificate.revision);
        Ok(certificates)
    }

    /// A certificate itself; `None` when it is not in the directory.
    pub async fn certificate_content(&self, id: CertificateId) -> Result<Option<CertificateContent>, Error> {
        let octets: Option<Vec<u8>> =
            self.link.command(cmd("HGET").arg(keys::CERTIFICATE_CONTENTS).arg(id.to_string())).await?;
        let Some(octets) = octets else { return Ok(None) };
        rmp_serde::from_slice(&octets)
            .map(Some)
            .map_err(|_| Error::Answer("a certificate that cannot be decoded"))
    }

    /// Writes certificates into the directory and raises its revision to `revision`, never lowering either.
    ///
    /// They are in ascending order, and no two have one revision: a reader in between sees all up to the revision that
    /// it reads.
    pub async fn publish_certificates(
        &self,
        certificates: &[(SiteCertificate, CertificateContent)],
        revision: i64,
    ) -> Result<(), Error> {
        let mut pages: Vec<_> = certificates
            .chunks(PAGE)
            .map(|page| (page, page.last().map_or(0, |(last, _)| last.revision).min(revision)))
            .collect();
        match pages.last_mut() {
            Some((_, up_to)) => *up_to = revision,
            None => pages.push((&[], revision)),
        }
        for (page, up_to) in pages {
            let mut command = cmd("EVAL");
            command
                .arg(PUBLISH)
                .arg(4)
                .arg(keys::CERTIFICATES)
                .arg(keys::CERTIFICATE_CONTENTS)
                .arg(keys::CERTIFICATES_INDEX)
                .arg(keys::CERTIFICATES_META)
                .arg(up_to);
            for (certificate, content) in page {
                let octets = rmp_serde::to_vec_named(certificate).map_err(Error::Encode)?;
                let content = if certificate.removed {
                    Vec::new()
                } else {
                    rmp_serde::to_vec_named(content).map_err(Error::Encode)?
                };
                command.arg(certificate.id.to_string()).arg(certificate.revision).arg(octets).arg(content);
            }
            self.link.command::<()>(&command).await?;
        }
        Ok(())
    }

    /// Every certificate in the directory, removed ones included.
    pub async fn certificate_ids(&self) -> Result<Vec<CertificateId>, Error> {
        let ids: Vec<String> = self.link.command(cmd("HKEYS").arg(keys::CERTIFICATES)).await?;
        // What is not an id is not ours to judge.
        Ok(ids.iter().filter_map(|id| id.parse().ok().map(CertificateId)).collect())
    }

    /// Removes certificates from the directory of which Postgres knows nothing any more.
    pub async fn forget_certificates(&self, certificates: &[CertificateId]) -> Result<(), Error> {
        for page in certificates.chunks(PAGE) {
            let ids: Vec<String> = page.iter().map(ToString::to_string).collect();
            let mut all = pipe();
            all.atomic().cmd("HDEL").arg(keys::CERTIFICATES).arg(&ids).ignore();
            all.cmd("HDEL").arg(keys::CERTIFICATE_CONTENTS).arg(&ids).ignore();
            all.cmd("ZREM").arg(keys::CERTIFICATES_INDEX).arg(&ids).ignore();
            self.link.pipeline::<()>(&all).await?;
        }
        Ok(())
    }

    /// Has every gateway give this answer to a certificate authority that asks for the domain, for so long.
    pub async fn offer_challenge(
        &self,
        domain: &str,
        answer: &[u8; CHALLENGE_LEN],
        keep: Duration,
    ) -> Result<(), Error> {
        let ms = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
        let mut set = cmd("SET");
        set.arg(keys::challenge(domain)).arg(answer).arg("PX").arg(ms.max(1));
        self.link.command(&set).await
    }

    /// The answer for a certificate authority that asks for this domain, if one is expected.
    pub async fn challenge(&self, domain: &str) -> Result<Option<[u8; CHALLENGE_LEN]>, Error> {
        let answer: Option<Vec<u8>> = self.link.command(cmd("GET").arg(keys::challenge(domain))).await?;
        let Some(answer) = answer else { return Ok(None) };
        answer.try_into().map(Some).map_err(|_| Error::Answer("a challenge of another length"))
    }

    /// The certificate authority has asked, or does not want to any more.
    pub async fn withdraw_challenge(&self, domain: &str) -> Result<(), Error> {
        self.link.command(cmd("DEL").arg(keys::challenge(domain))).await
    }
}
