//! What a registration needs to know and leaves behind: invites, who members are elsewhere, used tokens.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use sqlx::postgres::PgRow;
use sqlx::{Connection as _, Postgres, Row, Transaction};
use tmtp_domain::{Identity, Invite, InviteId, InviteRef, SiteId, Uid};
use uuid::Uuid;

use crate::admin::invite_usage;
use crate::{Error, Store};

/// Who somebody is at a provider: issuer and subject.
pub type Subject = (String, String);

/// What a registration leaves behind beside the member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joining {
    /// Where.
    pub site: SiteId,
    /// Who.
    pub uid: Uid,
    /// With which invite, and whether an admin has to approve.
    pub invite: Option<(InviteId, bool)>,
    /// With which sign-in.
    pub identity: Option<Identity>,
    /// The address that the client came from, if its gateway has said so.
    pub from: Option<IpAddr>,
}

impl Store {
    /// These invites, those that exist.
    pub async fn invites_for(
        &self,
        wanted: &[(SiteId, InviteRef)],
    ) -> Result<HashMap<(SiteId, InviteRef), Invite>, Error> {
        let sites: Vec<Uuid> = wanted.iter().map(|(site, _)| site.0).collect();
        let ids: Vec<Option<Uuid>> =
            wanted.iter().map(|(_, by)| if let InviteRef::Id(id) = by { Some(id.0) } else { None }).collect();
        let codes: Vec<Option<&[u8]>> = wanted
            .iter()
            .map(|(_, by)| if let InviteRef::Code(hash) = by { Some(hash.as_slice()) } else { None })
            .collect();
        let rows = sqlx::query(
            "SELECT w.place, i.invite_id, i.max_uses, i.pending, i.completed, i.alias, i.groups, i.requires_approval,
                    (extract(epoch FROM i.expires_at) * 1000)::bigint AS expires_ms,
                    (extract(epoch FROM i.revoked_at) * 1000)::bigint AS revoked_ms
             FROM unnest($1::uuid[], $2::uuid[], $3::bytea[]) WITH ORDINALITY AS w (site_id, invite_id, code_hash, place)
             JOIN invite i ON i.site_id = w.site_id AND (i.invite_id = w.invite_id OR i.code_hash = w.code_hash)",
        )
        .bind(&sites)
        .bind(&ids)
        .bind(&codes)
        .fetch_all(&self.pool)
        .await?;
        let found = |row: &PgRow| {
            let place: i64 = row.try_get("place")?;
            let key = usize::try_from(place - 1).ok().and_then(|place| wanted.get(place));
            let key = key.ok_or_else(|| Error::Unreadable("an invite that nobody asked for".to_owned()))?;
            Ok((*key, invite(row)?))
        };
        rows.iter().map(found).collect()
    }

    /// Those of these tokens that were used before.
    pub async fn used_tokens(
        &self,
        wanted: &[(SiteId, [u8; 32])],
    ) -> Result<HashSet<(SiteId, [u8; 32])>, Error> {
        let sites: Vec<Uuid> = wanted.iter().map(|(site, _)| site.0).collect();
        let digests: Vec<&[u8]> = wanted.iter().map(|(_, digest)| digest.as_slice()).collect();
        let rows = sqlx::query(
            "SELECT w.place FROM unnest($1::uuid[], $2::bytea[]) WITH ORDINALITY AS w (site_id, digest, place)
             JOIN sign_in_token t ON t.site_id = w.site_id AND t.digest = w.digest",
        )
        .bind(&sites)
        .bind(&digests)
        .fetch_all(&self.pool)
        .await?;
        Ok(places(&rows)?.into_iter().filter_map(|place| wanted.get(place).copied()).collect())
    }

    /// Those of these people who are members already.
    pub async fn known_subjects(
        &self,
        wanted: &[(SiteId, Subject)],
    ) -> Result<HashSet<(SiteId, Subject)>, Error> {
        let sites: Vec<Uuid> = wanted.iter().map(|(site, _)| site.0).collect();
        let issuers: Vec<&str> = wanted.iter().map(|(_, (issuer, _))| &**issuer).collect();
        let subjects: Vec<&str> = wanted.iter().map(|(_, (_, subject))| &**subject).collect();
        let rows = sqlx::query(
            "SELECT w.place FROM unnest($1::uuid[], $2::text[], $3::text[]) WITH ORDINALITY
                    AS w (site_id, issuer, subject, place)
             JOIN identity i ON i.site_id = w.site_id AND i.issuer = w.issuer AND i.subject = w.subject",
        )
        .bind(&sites)
        .bind(&issuers)
        .bind(&subjects)
        .fetch_all(&self.pool)
        .await?;
        Ok(places(&rows)?.into_iter().filter_map(|place| wanted.get(place).cloned()).collect())
    }

    /// Forgets tokens that have ended by themselves, and codes on their way to a token that nobody fetched.
    pub async fn forget_sign_ins(&self) -> Result<u64, Error> {
        let tokens =
            sqlx::query("DELETE FROM sign_in_token WHERE expires_at < now()").execute(&self.pool).await?;
        let codes =
            sqlx::query("DELETE FROM sign_in_code WHERE expires_at < now()").execute(&self.pool).await?;
        Ok(tokens.rows_affected() + codes.rows_affected())
    }
}

/// Uses the invite up, gives the member the external id that the invite has for it, and notes who the member is elsewhere
/// and that the token was used. An invite that was revoked or erased since it was looked at was used before that.
pub(crate) async fn join(joining: &Joining, tx: &mut Transaction<'static, Postgres>) -> Result<(), Error> {
    let Joining { site, uid, invite, identity, from: _ } = joining;
    if let Some((invite, waits)) = invite {
        let external_id: Option<Option<String>> = sqlx::query_scalar(
            "WITH used AS (
                 UPDATE invite SET pending = pending + $4::int, completed = completed + 1 - $4::int
                 WHERE site_id = $1 AND invite_id = $2
                 RETURNING CASE WHEN max_uses = 1 AND octet_length(external_id) <= 255 THEN external_id END AS external_id),
             noted AS (
                 INSERT INTO invite_use (site_id, invite_id, uid, state)
                 SELECT $1, $2, $3, CASE $4::int WHEN 1 THEN 'pending' ELSE 'completed' END FROM used)
             SELECT external_id FROM used",
        )
        .bind(site.0)
        .bind(invite.0)
        .bind(uid.0.as_slice())
        .bind(i32::from(*waits))
        .fetch_optional(&mut **tx)
        .await?;
        if let Some(external_id) = external_id.flatten() {
            name_member(joining, *invite, &external_id, tx).await?;
        }
    }
    if let Some(identity) = identity {
        sqlx::query(
            "WITH noted AS (
                 INSERT INTO identity (site_id, issuer, subject, uid) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING)
             INSERT INTO sign_in_token (site_id, digest, expires_at)
             VALUES ($1, $5, to_timestamp($6::double precision)) ON CONFLICT DO NOTHING",
        )
        .bind(site.0)
        .bind(&identity.issuer)
        .bind(&identity.subject)
        .bind(uid.0.as_slice())
        .bind(identity.token_digest.as_slice())
        .bind(identity.expires_at)
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

/// Gives a new member the external id of its invite. Where another member has it, the person is let in without: the admin
/// who made the invite has to sort that out, and finds it in the audit log.
async fn name_member(
    joining: &Joining,
    invite: InviteId,
    external_id: &str,
    tx: &mut Transaction<'static, Postgres>,
) -> Result<(), Error> {
    // An admin may give it to somebody else at this moment: only the index knows, and what it refuses must not cost the
    // batch.
    let mut attempt = tx.begin().await?;
    let named = sqlx::query("UPDATE member SET external_id = $3 WHERE site_id = $1 AND uid = $2")
        .bind(joining.site.0)
        .bind(joining.uid.0.as_slice())
        .bind(external_id)
        .execute(&mut *attempt)
        .await;
    match named {
        Ok(_) => Ok(attempt.commit().await?),
        Err(sqlx::Error::Database(cause)) if cause.is_unique_violation() => {
            attempt.rollback().await?;
            sqlx::query(
                "INSERT INTO audit (site_id, action, target, from_address, request_id, after)
                 VALUES ($1, 'member.external_id_taken', $2, $3, gen_random_uuid(),
                         jsonb_build_object('invite', $4::text))",
            )
            .bind(joining.site.0)
            .bind(joining.uid.to_string())
            .bind(address(joining.from))
            .bind(format!("inv_{invite}"))
            .execute(&mut **tx)
            .await?;
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Notes that somebody came with the code of an invite that does not exist. Not the code: it may be a mistyped good one.
/// `from` is where the client came from.
pub(crate) async fn note_guess(
    site: SiteId,
    from: Option<IpAddr>,
    tx: &mut Transaction<'static, Postgres>,
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO audit (site_id, action, target, from_address, request_id)
         VALUES ($1, 'invite.code_failed', $2, $3, gen_random_uuid())",
    )
    .bind(site.0)
    .bind(site.to_string())
    .bind(address(from))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// An address as the audit log has it. Gateways of the release before do not say it.
fn address(from: Option<IpAddr>) -> String {
    from.map_or_else(|| "register".to_owned(), |from| from.to_string())
}

fn places(rows: &[PgRow]) -> Result<Vec<usize>, Error> {
    let place = |row: &PgRow| Ok(usize::try_from(row.try_get::<i64, _>("place")? - 1).unwrap_or(usize::MAX));
    rows.iter().map(place).collect()
}

fn invite(row: &PgRow) -> Result<Invite, Error> {
    Ok(Invite {
        usage: invite_usage(row)?,
        alias: row.try_get("alias")?,
        groups: row.try_get("groups")?,
        requires_approval: row.try_get("requires_approval")?,
    })
}
