//! Members of a site: what they look like in the API.

mod aliases;
mod devices;
mod erase;
mod life;
mod rules;
mod show;
mod update;

pub(crate) use self::erase::{ErasureInput, ErasureReport};
pub(crate) use self::update::EXTERNAL_ID_MAX;
use serde::Serialize;
use tmtp_store::MemberRecord;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::caller::Caller;
use crate::api::id::SiteRef;
use crate::api::time::Time;
use crate::api::uid::UidText;
use crate::api::words::{MemberStatusWord, Word};
use crate::api::{Api, Problem};

/// The routes of members and of what they have.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(show::list))
        .routes(routes!(show::show, update::update, erase::erase))
        .routes(routes!(rules::update))
        .routes(routes!(life::suspend))
        .routes(routes!(life::resume))
        .routes(routes!(life::deactivate))
        .routes(routes!(life::approve))
        .routes(routes!(life::deny))
        .routes(routes!(devices::list))
        .routes(routes!(devices::revoke))
        .routes(routes!(devices::disconnect))
        .routes(routes!(devices::drop_queue))
        .routes(routes!(aliases::list, aliases::add))
        .routes(routes!(aliases::remove))
}

/// A member of a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Member {
    /// Who it is, as TMTP has it.
    uid: UidText,
    /// Whether it may log in: only `active` ones may. `deactivated` ones receive nothing, either, nor do `pending` ones,
    /// which wait for approval.
    status: MemberStatusWord,
    /// What your own systems call it.
    #[schema(required = true)]
    external_id: Option<String>,
    /// Its aliases, the oldest first.
    aliases: Vec<String>,
    /// How many devices it has.
    devices: i64,
    /// The suspension, if it is suspended.
    #[schema(required = true)]
    suspension: Option<MemberSuspension>,
    /// It gets messages and cannot send any.
    receive_only: bool,
    /// What is set for the time that it is away, if it is. Over when `until` is.
    #[schema(required = true)]
    away: Option<MemberAway>,
    created_at: Time,
    /// When a session of it began or ended last, to the minute.
    #[schema(required = true)]
    last_seen_at: Option<Time>,
}

/// Why a member is not let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct MemberSuspension {
    /// For admins.
    #[schema(required = true)]
    reason: Option<String>,
    #[schema(required = true)]
    since: Option<Time>,
    /// When it ends by itself.
    #[schema(required = true)]
    until: Option<Time>,
}

/// That a member is away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct MemberAway {
    /// What those who write to it are told.
    text: String,
    /// When it is there again.
    #[schema(required = true)]
    until: Option<Time>,
    /// Who gets copies.
    #[schema(required = true)]
    delegate: Option<UidText>,
}

impl Member {
    fn of(record: &MemberRecord) -> Self {
        let suspension = (record.status == tmtp_domain::MemberStatus::Suspended).then(|| MemberSuspension {
            reason: record.suspended_reason.clone(),
            since: record.suspended_at.map(Time),
            until: record.suspended_until.map(Time),
        });
        Self {
            uid: UidText(record.uid),
            status: Word(record.status),
            external_id: record.external_id.clone(),
            aliases: record.aliases.clone(),
            devices: record.devices,
            suspension,
            receive_only: record.flags.receive_only,
            away: record.flags.away.as_ref().map(|away| MemberAway {
                text: away.text.clone(),
                until: away.until.map(Time),
                delegate: away.delegate.map(UidText),
            }),
            created_at: Time(record.created_at),
            last_seen_at: record.last_seen_at.map(Time),
        }
    }
}

/// The member, if the caller's key is for its site.
async fn find<P>(caller: &Caller<P>, site: SiteRef, uid: UidText) -> Result<MemberRecord, Problem> {
    let site = caller.site(site)?;
    caller.read().await?.member_record(site, uid.0).await?.ok_or_else(Problem::not_found)
}
