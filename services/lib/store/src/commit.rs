//! The commit of a batch: the durability point of invariants I1, I2 and I3.

mod rows;

use std::net::IpAddr;

use sqlx::{Postgres, Row};
use tmtp_domain::{Epoch, MemberStatus, Membership, MsgId, NodeNum, SecretHash, ShardId, SiteId, Uid};

use self::rows::change_rows;
use crate::admin::{AdminRecord, Suspension};
use crate::policy::PolicyChange;
use crate::registration::Joining;
use crate::{Error, Store, StoredBody, TraceDrop};

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
        /// What the trace says of it, where one is kept.
        trace: Option<TraceDrop>,
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
        /// The address that the client came from, if its gateway has said so.
        from: Option<IpAddr>,
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
