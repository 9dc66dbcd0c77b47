//! The directory of sites: what gateways know of them without a database. A copy; Postgres is the truth.

use redis::{cmd, pipe};
use tmtp_domain::Site;

use crate::parked::chain;
use crate::{Bus, Error, keys};

/// Sites per round trip, so that no single command keeps Redis busy for long.
const PAGE: usize = 500;

/// `KEYS`: sites, index, meta. `ARGV`: the revision to raise to, then id, revision and encoding of each site. A site
/// that is there in a newer revision stays; the directory's revision only grows.
const PUBLISH: &str = r"
for i = 2, #ARGV, 3 do
    local known = redis.call('ZSCORE', KEYS[2], ARGV[i])
    if not known or tonumber(known) <= tonumber(ARGV[i + 1]) then
        redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 2])
        redis.call('ZADD', KEYS[2], ARGV[i + 1], ARGV[i])
    end
end
local revision = redis.call('HGET', KEYS[3], 'revision')
if not revision or tonumber(revision) < tonumber(ARGV[1]) then
    redis.call('HSET', KEYS[3], 'revision', ARGV[1])
end
return redis.status_reply('OK')
";

impl Bus {
    /// The newest revision in the directory; 0 when it is empty.
    pub async fn sites_revision(&self) -> Result<i64, Error> {
        let revision: Option<i64> =
            self.link.command(cmd("HGET").arg(keys::SITES_META).arg("revision")).await?;
        Ok(revision.unwrap_or(0))
    }

    /// The sites whose revision is above `revision`, by ascending revision.
    ///
    /// A site that cannot be decoded is left out, and logged as an error: the others must not suffer for it.
    pub async fn sites_since(&self, revision: i64) -> Result<Vec<Site>, Error> {
        // All names in one answer: the index may change between pages, and a site that moves to its end meanwhile
        // would push another one over a page's edge.
        let ids: Vec<String> = self
            .link
            .command(cmd("ZRANGEBYSCORE").arg(keys::SITES_INDEX).arg(format!("({revision}")).arg("+inf"))
            .await?;
        let mut sites = Vec::with_capacity(ids.len());
        for page in ids.chunks(PAGE) {
            let found: Vec<Option<Vec<u8>>> =
                self.link.command(cmd("HMGET").arg(keys::SITES).arg(page)).await?;
            for (id, octets) in page.iter().zip(found) {
                let Some(octets) = octets else { continue };
                match rmp_serde::from_slice::<Site>(&octets) {
                    Ok(site) => sites.push(site),
                    Err(error) => {
                        let error = chain(&error);
                        tracing::error!(site.id = %id, error, "cannot decode site in the directory");
                    }
                }
            }
        }
        sites.sort_by_key(|site| site.revision);
        Ok(sites)
    }

    /// Writes sites into the directory and raises its revision to `revision`, never lowering either.
    ///
    /// Each step of at most 500 sites is atomic, and in ascending order: a reader in between sees all sites up to
    /// the revision that it reads.
    pub async fn publish_sites(&self, sites: &[Site], revision: i64) -> Result<(), Error> {
        let mut sorted: Vec<&Site> = sites.iter().collect();
        sorted.sort_by_key(|site| site.revision);
        let mut pages: Vec<(&[&Site], i64)> = sorted
            .chunks(PAGE)
            // Sites of one revision may be spread over two pages, so a page is known to be complete only up to the
            // revision below its last.
            .map(|page| (page, page.last().map_or(0, |site| site.revision - 1).min(revision)))
            .collect();
        match pages.last_mut() {
            Some((_, up_to)) => *up_to = revision,
            None => pages.push((&[], revision)),
        }
        for (page, up_to) in pages {
            let mut command = cmd("EVAL");
            command
                .arg(PUBLISH)
                .arg(3)
                .arg(keys::SITES)
                .arg(keys::SITES_INDEX)
                .arg(keys::SITES_META)
                .arg(up_to);
            for site in page {
                let octets = rmp_serde::to_vec_named(site).map_err(Error::Encode)?;
                command.arg(site.id.to_string()).arg(site.revision).arg(octets);
            }
            self.link.command::<()>(&command).await?;
        }
        Ok(())
    }

    /// Removes sites from the directory that no longer exist. Gateways learn of it when they next read all.
    pub async fn forget_sites(&self, sites: &[tmtp_domain::SiteId]) -> Result<(), Error> {
        for page in sites.chunks(PAGE) {
            let ids: Vec<String> = page.iter().map(ToString::to_string).collect();
            let mut both = pipe();
            both.atomic().cmd("HDEL").arg(keys::SITES).arg(&ids).ignore();
            both.cmd("ZREM").arg(keys::SITES_INDEX).arg(&ids).ignore();
            self.link.pipeline::<()>(&both).await?;
        }
        Ok(())
    }
}
