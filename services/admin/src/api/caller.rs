//! Who asks, and what for: the permission stands in the signature of each endpoint.
//!
//! `caller: Caller<may::WriteKeys>` is the whole check of the scope. Which sites the key is for is asked with
//! [`Caller::site`], whose answer is the only way to a [`SiteId`] from a path. What is read is asked for with
//! [`Caller::read`], which shows nothing of other sites whatever was asked before.

use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use tmtp_domain::{Scope, SiteId};
use tmtp_store::{ApiKey, Reader};

use super::authenticate::Identity;
use super::id::SiteRef;
use super::request::RequestInfo;
use super::{Api, Problem};

/// A permission, as a type.
pub(crate) trait Permission: Send + Sync + 'static {
    /// Which; `None` for what everybody with a key may do.
    const SCOPE: Option<Scope>;
}

/// The permissions that endpoints ask for; add a line for one that is not here yet.
pub(crate) mod may {
    use tmtp_domain::Scope;

    use super::Permission;

    macro_rules! permissions {
        ($($name:ident = $scope:expr;)*) => {$(
            #[derive(Debug)]
            pub(crate) struct $name;

            impl Permission for $name {
                const SCOPE: Option<Scope> = $scope;
            }
        )*};
    }

    permissions! {
        HaveKey = None;
        ReadSites = Some(Scope::SitesRead);
        WriteSites = Some(Scope::SitesWrite);
        CreateSites = Some(Scope::SitesCreate);
        SuspendSites = Some(Scope::SitesSuspend);
        DeleteSites = Some(Scope::SitesDelete);
        ReadKeys = Some(Scope::KeysRead);
        WriteKeys = Some(Scope::KeysWrite);
        ReadAudit = Some(Scope::AuditRead);
        ReadJobs = Some(Scope::JobsRead);
        WriteJobs = Some(Scope::JobsWrite);
        ReadInvites = Some(Scope::InvitesRead);
        WriteInvites = Some(Scope::InvitesWrite);
        ReadProviders = Some(Scope::ProvidersRead);
        WriteProviders = Some(Scope::ProvidersWrite);
        ReadCertificates = Some(Scope::CertificatesRead);
        WriteCertificates = Some(Scope::CertificatesWrite);
        ReadMembers = Some(Scope::MembersRead);
        WriteMembers = Some(Scope::MembersWrite);
        WriteDevices = Some(Scope::DevicesWrite);
        ReadUsage = Some(Scope::UsageRead);
        ReadTrace = Some(Scope::TraceRead);
        ReadCluster = Some(Scope::ClusterRead);
        WriteCluster = Some(Scope::ClusterWrite);
        ReadPolicy = Some(Scope::PolicyRead);
        WritePolicy = Some(Scope::PolicyWrite);
    }
}

/// Somebody with a key that has the permission `P`.
#[derive(Debug)]
pub(crate) struct Caller<P> {
    pub(crate) api: Api,
    pub(crate) identity: Arc<Identity>,
    pub(crate) request: RequestInfo,
    permission: PhantomData<fn() -> P>,
}

impl<P> Caller<P> {
    /// The key it came with.
    pub(crate) fn key(&self) -> &ApiKey {
        &self.identity.key
    }

    /// The site, if the key is for it. Whether there is such a site is another question with the same answer.
    pub(crate) fn site(&self, site: SiteRef) -> Result<SiteId, Problem> {
        let site = SiteId::from(site);
        match self.sites() {
            Some(sites) if !sites.contains(&site) => Err(Problem::not_found()),
            _ => Ok(site),
        }
    }

    /// Begins to read what the key is for. The database shows nothing else, whichever site a statement names.
    pub(crate) async fn read(&self) -> Result<Reader, Problem> {
        Ok(self.api.database.read(&self.identity.sights).await?)
    }

    /// The only sites that it may know of; `None` for all.
    pub(crate) fn sites(&self) -> Option<&[SiteId]> {
        self.key().sites.as_deref()
    }
}

impl<P: Permission> FromRequestParts<Api> for Caller<P> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let identity = parts.extensions.get::<Arc<Identity>>().ok_or_else(Problem::unauthenticated)?;
        let request = parts.extensions.get::<RequestInfo>().ok_or_else(Problem::internal)?;
        if let Some(scope) = P::SCOPE
            && !identity.key.allows(scope)
        {
            return Err(Problem::forbidden().detail(format!("This needs a key with the scope {scope}.")));
        }
        Ok(Self {
            api: api.clone(),
            identity: Arc::clone(identity),
            request: request.clone(),
            permission: PhantomData,
        })
    }
}
