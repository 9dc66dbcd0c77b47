//! The commit of a batch: the durability point of invariants I1, I2 and I3.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use sqlx::{Postgres, Row, Transaction};
use tmtp_domain::{
    Epoch, GroupStatus, MemberStatus, Membership, MsgId, NodeNum, SecretHash, ShardId, SiteId, Uid,
};
use uuid::Uuid;

use crate::admin::{AdminRecord, Suspension, change_member, erase_gone, see_nodes, settle_admin};
use crate::look::write_looks;
use crate::policy::{PolicyChange, change_policy_row};
use crate::registration::{Joining, join, note_guess};
use crate::{Error, Store, StoredBody};

/// What one batch does to the shards it touches: all of it, or nothing.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// A part per shard; each shard at most once.
    pub shards: Vec<ShardCommit>,
}

/// What a batch does to one shard.
#[derive(Debug, Clone)]
pub struct ShardCommit {
    /// Which.
    pub shard: ShardId,
    /// The epoch under which it was decided.
    pub epoch: Epoch,
    /// How many commits the shard had seen; this is the next.
    pub commits: i64,
    /// Id of the last entry of the command stream that is in this batch or before it.
    pub last_entry: (u64, u64),
    /// The highest message id given.
    pub last_msg_id: MsgId,
    /// The journal entry; `None` when only progress is recorded.
    pub entry: Option<Vec<u8>>,
    /// Changed rows.
    pub changes: Vec<Change>,
}

/// A changed row. These are rare beside messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A new member.
    Member {
        /// Where.
        site: SiteId,
        /// Who.
        uid: Uid,
    },
    /// A new node.
    Node {
        /// Where.
        site: SiteId,
        /// Whose.
        uid: Uid,
        /// Its number.
        num: NodeNum,
        /// What its password hashes to.
        secret: SecretHash,
        /// What its user calls it.
        label: String,
    },
    /// A new alias.
    Name {
        /// Where.
        site: SiteId,
        /// The alias.
        name: String,
        /// Whose.
        uid: Uid,
    },
    /// A new group.
    Group {
        /// Where.
        site: SiteId,
        /// Its name.
        gid: String,
    },
    /// A user's place in a group, new or changed.
    Place {
        /// Where.
        site: SiteId,
        /// The group's name.
        gid: String,
        /// Whose.
        uid: Uid,
        /// It.
        place: Membership,
    },
    /// Another node is owed what one node is owed according to the rows.
    CopyInbox {
        /// Where.
        site: SiteId,
        /// Whose nodes.
        uid: Uid,
        /// From the queue of this one.
        from: NodeNum,
        /// To the queue of that one.
        to: NodeNum,
        /// Acked already, though the rows do not know.
        except: Vec<MsgId>,
    },
    /// A message refers to this body now.
    BodyHeld {
        /// Where.
        site: SiteId,
        /// Which.
        body: StoredBody,
    },
    /// A member may log in, or may not.
    MemberStatus {
        /// Where.
        site: SiteId,
        /// Who.
        uid: Uid,
        /// Which.
        status: MemberStatus,
    },
    /// A member may not log in, for a reason.
    Suspended {
        /// Where.
        site: SiteId,
        /// Who.
        uid: Uid,
        /// Why, and how long.
        suspension: Suspension,
    },
    /// A session at a node has begun or ended.
    NodeSeen {
        /// Where.
        site: SiteId,
        /// Whose.
        uid: Uid,
        /// Which.
        node: NodeNum,
    },
    /// A node has ended.
    NodeRevoked {
        /// Where.
        site: SiteId,
        /// Whose.
        uid: Uid,
        /// Which.
        num: NodeNum,
    },
    /// What a node is owed according to the rows is forgotten.
    DropInbox {
        /// Where.
        site: SiteId,
        /// Whose node.
        uid: Uid,
        /// Which.
        node: NodeNum,
    },
    /// Nobody may take a name.
    NameReserved {
        /// Where.
        site: SiteId,
        /// It.
        name: String,
    },
    /// An alias or a reserved name is free. In one batch it must not be taken again behind this.
    NameGone {
        /// Where.
        site: SiteId,
        /// It.
        name: String,
    },
    /// A new member has come with an invite or a sign-in. Behind its [`Change::Member`].
    Joined(Box<Joining>),
    /// Somebody came with the code of an invite that does not exist.
    CodeGuessed {
        /// Where.
        site: SiteId,
    },
    /// A member is gone with all that it had. Its rows are removed before others of the batch are written.
    MemberGone {
        /// Where.
        site: SiteId,
        /// Who.
        uid: Uid,
    },
    /// A group is gone with its places. Its rows are removed before others of the batch are written.
    GroupGone {
        /// Where.
        site: SiteId,
        /// Its name.
        gid: String,
    },
    /// A row changes because of a site's rules.
    Policy(PolicyChange),
    /// A request of an admin was carried out.
    Admin(Box<AdminRecord>),
    /// No message refers to this body any more, if one ever did; it is to be removed.
    BodyFree {
        /// Where.
        site: SiteId,
        /// Which.
        body: StoredBody,
    },
}

/// Why a commit did not happen.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Some shard has another epoch or another number of commits than the batch was decided under. Nothing of the
    /// batch was committed. Read the shards again: they are lost, or this very commit has happened before.
    #[error("fenced: a shard has moved on")]
    Fenced,
    /// A body that a message of the batch refers to was condemned meanwhile ([`Store::condemn_bodies`]), or freed. Nothing
    /// of the batch was committed.
    #[error("a body of the batch has been removed")]
    BodyGone,
    /// The database failed. Whether the commit happened is unknown when the connection was lost meanwhile.
    #[error(transparent)]
    Store(#[from] Error),
}

/// Moves the shards and appends to the journal, if every shard is as the batch expects; one statement, so that without
/// changed rows a commit is one round trip. `held` locks the rows it finds; `moved` and `written` act only when it
/// found all of them.
const MOVE: &str = "
    WITH batch AS MATERIALIZED (
        SELECT * FROM unnest($1::int2[], $2::int8[], $3::int8[], $4::int8[], $5::int8[], $6::int8[], $7::bytea[])
            AS b (shard_id, epoch, commits, entry_ms, entry_seq, msg_id, entry)
    ),
    held AS MATERIALIZED (
        SELECT s.shard_id FROM shard s JOIN batch b USING (shard_id)
        WHERE s.epoch = b.epoch AND s.commits = b.commits
        ORDER BY s.shard_id FOR UPDATE OF s
    ),
    moved AS (
        UPDATE shard s
        SET commits = b.commits + 1, last_entry_ms = b.entry_ms, last_entry_seq = b.entry_seq, last_msg_id = b.msg_id
        FROM batch b
        WHERE s.shard_id = b.shard_id AND (SELECT count(*) FROM held) = cardinality($1)
        RETURNING s.shard_id
    ),
    written AS (
        INSERT INTO journal (shard_id, seq, epoch, entry)
        SELECT b.shard_id, b.commits + 1, b.epoch, b.entry FROM batch b
        WHERE b.entry IS NOT NULL AND (SELECT count(*) FROM held) = cardinality($1)
    )
    SELECT count(*) FROM moved";

impl Store {
    /// Commits a batch: journal entries, changed rows, progress and the epoch check in one transaction.
    pub async fn commit(&self, commit: &Commit) -> Result<(), CommitError> {
        if commit.shards.iter().all(|shard| shard.changes.is_empty()) {
            return move_shards(commit, &self.pool).await;
        }
        let mut tx = self.pool.begin().await.map_err(Error::from)?;
        move_shards(commit, &mut *tx).await?;
        change_rows(commit, &mut tx).await?;
        tx.commit().await.map_err(Error::from)?;
        Ok(())
    }
}

async fn move_shards<'c>(
    commit: &Commit,
    executor: impl sqlx::Executor<'c, Database = Postgres>,
) -> Result<(), CommitError> {
    let shards = &commit.shards;
    let numbers = |pick: fn(&ShardCommit) -> i64| shards.iter().map(pick).collect::<Vec<i64>>();
    let ids: Vec<i16> = shards.iter().map(|shard| shard.shard.0.cast_signed()).collect();
    let entries: Vec<Option<&[u8]>> = shards.iter().map(|shard| shard.entry.as_deref()).collect();
    let row = sqlx::query(MOVE)
        .bind(&ids)
        .bind(numbers(|shard| shard.epoch.0))
        .bind(numbers(|shard| shard.commits))
        .bind(numbers(|shard| shard.last_entry.0.cast_signed()))
        .bind(numbers(|shard| shard.last_entry.1.cast_signed()))
        .bind(numbers(|shard| shard.last_msg_id.to_i64()))
        .bind(&entries)
        .fetch_one(executor)
        .await
        .map_err(Error::from)?;
    let moved: i64 = row.try_get(0).map_err(Error::from)?;
    if usize::try_from(moved).ok() == Some(shards.len()) { Ok(()) } else { Err(CommitError::Fenced) }
}

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
async fn change_rows(commit: &Commit, tx: &mut Transaction<'static, Postgres>) -> Result<(), CommitError> {
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
    for change in changes() {
        match change {
            Change::CopyInbox { .. } => copy_inbox(change, tx).await?,
            Change::Admin(record) => settle_admin(record, tx).await?,
            Change::Joined(joining) => join(joining, tx).await?,
            Change::CodeGuessed { site } => note_guess(*site, tx).await?,
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
