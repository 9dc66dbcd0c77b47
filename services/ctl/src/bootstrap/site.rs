//! `tmtpctl bootstrap site`: a site that has to be there before anybody has a key to the admin API. Workers and gateways
//! learn of it within seconds. It must never change a site that exists.

use anyhow::{Context as _, bail, ensure};
use tmtp_domain::{Registration, SiteId, parse_host};
use tmtp_store::{CreateSite, CreateSiteError, Store};
use uuid::Uuid;

use crate::database::Database;

/// The name is part of the first frame of every connection.
const NAME_MAX: usize = 255;

#[derive(Debug, clap::Args)]
pub(crate) struct Site {
    #[command(flatten)]
    database: Database,
    /// What clients show
    #[arg(long, value_parser = parse_name)]
    name: String,
    /// Host name under which clients reach the site; may be given several times. `*.` in front stands for one label
    #[arg(long = "domain", value_name = "DOMAIN", required = true, value_parser = parse_host)]
    domains: Vec<String>,
    /// Who may register, if the site is made: everybody, nobody, who has an invite, whom a provider vouches for (or an
    /// invite), or everybody of whom an admin approves
    #[arg(long, value_name = "open|closed|invite|oidc|approval")]
    registration: Registration,
    /// Succeed, and change nothing, when a site with these domains exists
    #[arg(long, visible_alias = "if-absent")]
    if_missing: bool,
    /// Succeed, and change nothing, when any of these domains belongs to a site, whatever has become of that since
    #[arg(long, conflicts_with = "if_missing")]
    if_unclaimed: bool,
}

impl Site {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let store = self.database.open().await?;
        if self.if_missing && self.exists(&store).await? {
            return Ok(());
        }
        if self.if_unclaimed && self.is_claimed(&store).await? {
            return Ok(());
        }
        let site = CreateSite {
            id: SiteId(Uuid::new_v4()),
            name: self.name.clone(),
            domains: self.domains.clone(),
            registration: self.registration,
        };
        match store.create_site(&site).await {
            Ok(shard) => println!("site {} in shard {shard} is made", site.id),
            // Somebody else was faster.
            Err(CreateSiteError::DomainTaken) if self.if_missing && self.exists(&store).await? => {}
            Err(CreateSiteError::DomainTaken) if self.if_unclaimed && self.is_claimed(&store).await? => {}
            Err(CreateSiteError::DomainTaken) => {
                bail!("one of the domains belongs to a site already; `tmtpctl site list` shows which")
            }
            Err(CreateSiteError::Store(error)) => return Err(error).context("make the site"),
        }
        Ok(())
    }

    /// Whether a site has any of the domains. Deployment tools ask after each upgrade; admins may have changed the site since.
    async fn is_claimed(&self, store: &Store) -> anyhow::Result<bool> {
        for domain in &self.domains {
            if let Some(site) = store.site_by_domain(domain).await.context("look for the site")? {
                println!("{domain} belongs to site {} already; nothing is changed", site.id);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether one site has all the domains. That several have some of them is an error: the caller means something
    /// that is not there, and that cannot be made.
    async fn exists(&self, store: &Store) -> anyhow::Result<bool> {
        let mut owners = Vec::new();
        for domain in &self.domains {
            owners.push(store.site_by_domain(domain).await.context("look for the site")?);
        }
        let Some(site) = owners.iter().flatten().next() else { return Ok(false) };
        for (domain, owner) in self.domains.iter().zip(&owners) {
            ensure!(
                owner.as_ref().is_some_and(|owner| owner.id == site.id),
                "site {} exists, but {domain} is not one of its domains: {}",
                site.id,
                site.domains.join(", ")
            );
        }
        println!("site {} in shard {} is there already", site.id, site.shard);
        Ok(true)
    }
}

fn parse_name(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("a site needs a name".into()),
        name if name.len() > NAME_MAX => Err(format!("a name has at most {NAME_MAX} octets")),
        name => Ok(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: no site without a name, none with an endless one; method: the edges.
    #[test]
    fn names() {
        assert_eq!(parse_name(" N "), Ok("N".to_owned()));
        assert!(parse_name(" ").is_err());
        assert!(parse_name(&"n".repeat(NAME_MAX)).is_ok());
        assert!(parse_name(&"n".repeat(NAME_MAX + 1)).is_err());
    }
}
