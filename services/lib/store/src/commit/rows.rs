//! The changed rows of a batch: those of one kind with one statement, in an order that the tables' references allow.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use sqlx::{Postgres, Transaction};
use tmtp_domain::{GroupStatus, Membership};
use uuid::Uuid;

use super::{Change, Commit, CommitError};
use crate::Error;
use crate::admin::{change_member, drop_inbox, erase_gone, see_nodes, settle_admin};
use crate::look::write_looks;
use crate::policy::change_policy_row;
use crate::registration::{join, note_guess};
use crate::trace::note_drop;

/// The changed rows of a batch by table, as columns.
#[derive(Default)]
struct Rows<'c> {
    members: (Vec<Uuid>, Vec<&'c [u8]>),
    nodes: Nodes<'c>,
    names: Names<'c>,
    /// The last of each: a statement can write a row only once.
    places: BTreeMap<(Uuid, &'c str, &'c [u8]), &'c Membership>,
    /// Each once, however often it was seen.
    seen: BTreeSet<(Uuid, &'c [u8], i16)>,
    held: (Vec<Uuid>, Vec<Uuid>, Vec<i64>, Vec<i32>),
    free: (Vec<Uuid>, Vec<Uuid>, Vec<i64>, Vec<i32>),
}

/// Aliases, and groups, which have no uid.
#[derive(Default)]
struct Names<'c> {
    sites: Vec<Uuid>,
    texts: Vec<&'c str>,
    uids: Vec<Option<&'c [u8]>>,
}

#[derive(Default)]
struct Nodes<'c> {
    sites: Vec<Uuid>,
    uids: Vec<&'c [u8]>,
    nums: Vec<i16>,
    secrets: Vec<&'c [u8]>,
    labels: Vec<Cow<'c, str>>,
}

impl<'c> Rows<'c> {
    fn add(&mut self, change: &'c Change) {
        match change {
            Change::Member { site, uid } => {
                self.members.0.push(site.0);
                self.members.1.push(&uid.0);
            }
            Change::Node { site, uid, num, secret, label } => {
                self.nodes.sites.push(site.0);
                self.nodes.uids.push(&uid.0);
                self.nodes.nums.push(num.0);
                self.nodes.secrets.push(&secret.0);
                self.nodes.labels.push(storable(label));
            }
            Change::Name { site, name, uid } => {
                self.names.sites.push(site.0);
                self.names.texts.push(name);
                self.names.uids.push(Some(&uid.0));
            }
            Change::Group { site, gid } => {
                self.names.sites.push(site.0);
                self.names.texts.push(gid);
                self.names.uids.push(None);
            }
            Change::Place { site, gid, uid, place } => {
                self.places.insert((site.0, gid, &uid.0), place);
            }
            Change::NodeSeen { site, uid, node } => {
                self.seen.insert((site.0, &uid.0, node.0));
            }
            Change::BodyHeld { site, body } => {
                self.held.0.push(site.0);
                self.held.1.push(body.id.0);
                self.held.2.push(body.len.cast_signed());
                self.held.3.push(body.chunk.cast_signed());
            }
            Change::BodyFree { site, body } => {
                self.free.0.push(site.0);
                self.free.1.push(body.id.0);
                self.free.2.push(body.len.cast_signed());
                self.free.3.push(body.chunk.cast_signed());
            }
            // These are done one by one, in their order.
            Change::CopyInbox { .. }
            | Change::MemberStatus { .. }
            | Change::Suspended { .. }
            | Change::NodeRevoked { .. }
            | Change::DropInbox { .. }
            | Change::NameReserved { .. }
            | Change::NameGone { .. }
            | Change::Joined(_)
            | Change::CodeGuessed { .. }
            | Change::MemberGone { .. }
            | Change::GroupGone { .. }
            | Change::Policy(_)
            | Change::Admin(_) => {}
        }
    }
}

/// A label may be any text, but Postgres keeps none with U+0000, and a refused row would cost the whole batch.
fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{FFFD}")) } else { Cow::Borrowed(text) }
}

/// Writes changed rows. A member, node or name that exists already is left as it is: the command that made it is being
/// applied again.
pub(super) async fn change_rows(
    commit: &Commit,
    tx: &mut Transaction<'static, Postgres>,
) -> Result<(), CommitError> {
    let mut rows = Rows::default();
    let changes = || commit.shards.iter().flat_map(|shard| &shard.changes);
    changes().for_each(|change| rows.add(change));

    for change in changes() {
        erase_gone(change, tx).await?;
    }
    if !rows.members.0.is_empty() {
        sqlx::query(
            "INSERT INTO member (site_id, uid) SELECT * FROM unnest($1::uuid[], $2::bytea[]) ON CONFLICT DO NOTHING",
        )
        .bind(&rows.members.0)
        .bind(&rows.members.1)
        .execute(&mut **tx)
        .await
        .map_err(Error::from)?;
    }
    if !rows.nodes.sites.is_empty() {
        sqlx::query(
            "INSERT INTO node (site_id, uid, num, secret, label)
             SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::int2[], $4::bytea[], $5::text[])
             ON CONFLICT DO NOTHING",
        )
        .bind(&rows.nodes.sites)
        .bind(&rows.nodes.uids)
        .bind(&rows.nodes.nums)
        .bind(&rows.nodes.secrets)
        .bind(&rows.nodes.labels)
        .execute(&mut **tx)
        .await
        .map_err(Error::from)?;
    }
    if !rows.names.sites.is_empty() {
        sqlx::query(
            "INSERT INTO name (site_id, name, uid)
             SELECT * FROM unnest($1::uuid[], $2::text[], $3::bytea[]) ON CONFLICT DO NOTHING",
        )
        .bind(&rows.names.sites)
        .bind(&rows.names.texts)
        .bind(&rows.names.uids)
        .execute(&mut **tx)
        .await
        .map_err(Error::from)?;
        write_looks(tx, &rows.names.sites, &rows.names.texts).await?;
    }
    if !rows.places.is_empty() {
        write_places(&rows, tx).await?;
    }
    if !rows.held.0.is_empty() {
        hold_bodies(&rows, tx).await?;
    }
    // Rows of inboxes that went with the change of an admin, which is noted behind them.
    let mut dropped = 0;
    for change in changes() {
        match change {
            Change::CopyInbox { .. } => copy_inbox(change, tx).await?,
            Change::DropInbox { site, uid, node, trace } => {
                if let Some(end) = trace {
                    note_drop((*site, *uid, *node), *end, tx).await?;
                }
                dropped += drop_inbox(*site, *uid, *node, tx).await?;
            }
            Change::Admin(record) => settle_admin(record, std::mem::take(&mut dropped), tx).await?,
            Change::Joined(joining) => join(joining, tx).await?,
            Change::CodeGuessed { site, from } => note_guess(*site, *from, tx).await?,
            Change::Policy(change) => change_policy_row(change, tx).await?,
            other => change_member(other, tx).await?,
        }
    }
    if !rows.seen.is_empty() {
        see_nodes(&rows.seen, tx).await?;
    }
    if !rows.free.0.is_empty() {
        free_bodies(&rows, tx).await?;
    }
    Ok(())
}

async fn write_places(rows: &Rows<'_>, tx: &mut Transaction<'static, Postgres>) -> Result<(), Error> {
    let status = |place: &Membership| match place.status {
        GroupStatus::Invited => "invited",
        GroupStatus::Joined => "joined",
        GroupStatus::Barred => "barred",
    };
    let sites: Vec<Uuid> = rows.places.keys().map(|(site, ..)| *site).collect();
    let gids: Vec<&str> = rows.places.keys().map(|(_, gid, _)| *gid).collect();
    let uids: Vec<&[u8]> = rows.places.keys().map(|(.., uid)| *uid).collect();
    let statuses: Vec<&str> = rows.places.values().map(|place| status(place)).collect();
    let aliases: Vec<&str> = rows.places.values().map(|place| place.alias.as_str()).collect();
    sqlx::query(
        "INSERT INTO group_member (site_id, gid, uid, status, alias)
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::text[], $5::text[])
         ON CONFLICT (site_id, gid, uid) DO UPDATE SET status = excluded.status, alias = excluded.alias",
    )
    .bind(&sites)
    .bind(&gids)
    .bind(&uids)
    .bind(&statuses)
    .bind(&aliases)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Rows of bodies that may be referred to are left as they are, and not returned; one that is condemned or freed is.
async fn hold_bodies(rows: &Rows<'_>, tx: &mut Transaction<'static, Postgres>) -> Result<(), CommitError> {
    let held = sqlx::query_scalar::<_, bool>(
        "INSERT INTO body (site_id, body_id, len, chunk)
         SELECT DISTINCT ON (1, 2) * FROM unnest($1::uuid[], $2::uuid[], $3::int8[], $4::int4[])
         ON CONFLICT (site_id, body_id) DO UPDATE SET swept_at = body.swept_at
             WHERE body.swept_at IS NOT NULL OR body.freed_at IS NOT NULL
         RETURNING swept_at IS NOT NULL OR freed_at IS NOT NULL",
    )
    .bind(&rows.held.0)
    .bind(&rows.held.1)
    .bind(&rows.held.2)
    .bind(&rows.held.3)
    .fetch_all(&mut **tx)
    .await
    .map_err(Error::from)?;
    if held.contains(&true) { Err(CommitError::BodyGone) } else { Ok(()) }
}

/// A message that nobody was owed has freed its body without ever holding it.
async fn free_bodies(rows: &Rows<'_>, tx: &mut Transaction<'static, Postgres>) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO body (site_id, body_id, len, chunk, freed_at)
         SELECT DISTINCT ON (1, 2) f.*, now()
         FROM unnest($1::uuid[], $2::uuid[], $3::int8[], $4::int4[]) AS f (site_id, body_id, len, chunk)
         ON CONFLICT (site_id, body_id) DO UPDATE SET freed_at = now() WHERE body.swept_at IS NULL",
    )
    .bind(&rows.free.0)
    .bind(&rows.free.1)
    .bind(&rows.free.2)
    .bind(&rows.free.3)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn copy_inbox(change: &Change, tx: &mut Transaction<'static, Postgres>) -> Result<(), Error> {
    let Change::CopyInbox { site, uid, from, to, except } = change else { return Ok(()) };
    let except: Vec<i64> = except.iter().map(|id| id.to_i64()).collect();
    sqlx::query(
        "WITH copied AS (
             INSERT INTO inbox (site_id, uid, node, urgency, msg_id)
             SELECT site_id, uid, $4, urgency, msg_id FROM inbox
             WHERE site_id = $1 AND uid = $2 AND node = $3 AND msg_id <> ALL($5)
             ON CONFLICT DO NOTHING
             RETURNING msg_id
         )
         UPDATE message SET owed = owed + 1 WHERE site_id = $1 AND msg_id IN (SELECT msg_id FROM copied)",
    )
    .bind(site.0)
    .bind(uid.0.as_slice())
    .bind(from.0)
    .bind(to.0)
    .bind(&except)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
