//! What a registration needs to know and leaves behind: invites, who members are elsewhere, used tokens.

use std::collections::{HashMap, HashSet};

use sqlx::postgres::PgRow;
use sqlx::{Postgres, Row, Transaction};
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

/// Uses the invite up, and notes who the member is elsewhere and that the token was used. An invite that was revoked or
/// erased since it was looked at was used before that.
pub(crate) async fn join(joining: &Joining, tx: &mut Transaction<'static, Postgres>) -> Result<(), Error> {
    let Joining { site, uid, invite, identity } = joining;
    if let Some((invite, waits)) = invite {
        sqlx::query(
            "WITH used AS (
                 UPDATE invite SET pending = pending + $4::int, completed = completed + 1 - $4::int
                 WHERE site_id = $1 AND invite_id = $2 RETURNING 1)
             INSERT INTO invite_use (site_id, invite_id, uid, state)
             SELECT $1, $2, $3, CASE $4::int WHEN 1 THEN 'pending' ELSE 'completed' END FROM used",
        )
        .bind(site.0)
        .bind(invite.0)
        .bind(uid.0.as_slice())
        .bind(i32::from(*waits))
        .execute(&mut **tx)
        .await?;
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

/// Notes that somebody came with the code of an invite that does not exist. Not the code: it may be a mistyped good one.
pub(crate) async fn note_guess(site: SiteId, tx: &mut Transaction<'static, Postgres>) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO audit (site_id, action, target, from_address, request_id)
         VALUES ($1, 'invite.code_failed', $2, 'register', gen_random_uuid())",
    )
    .bind(site.0)
    .bind(site.to_string())
    .execute(&mut **tx)
    .await?;
    Ok(())
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
