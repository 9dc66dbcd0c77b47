//! Fencing (invariant I2): who lost a shard, or does not know where it stands, changes nothing at all.

use tmtp_store::{Change, Commit, CommitError, Error, ShardCommit, Store, Waiting};

use crate::rig::{DEADLINE, ENDED, Rig, acks, inbox, is_fenced, message, node, part, uid, under_older_epoch};

/// Goal: a worker that lost its shards cannot commit; method: it claims with a lease that has ended, another claims
/// after it, both commit on what they know.
#[tokio::test]
async fn a_stale_epoch_cannot_commit() {
    let rig = Rig::new().await;
    let (_, mut paused) = rig.owner_for(ENDED).await;
    let (_, mut owner) = rig.owner().await;
    assert_eq!(owner[0].epoch.0, paused[0].epoch.0 + 1);

    assert!(is_fenced(&rig.commit(&mut paused[0], Some(b"lost"), Vec::new()).await));
    assert!(rig.journal(paused[0].shard).await.is_empty());
    rig.commit(&mut owner[0], Some(b"kept"), Vec::new()).await.unwrap();
    assert_eq!(rig.journal(owner[0].shard).await, [b"kept"]);
}

/// Goal: a batch that is applied again changes nothing, and its worker can tell that it has happened; method: commit
/// the very same parts twice, as after an answer that got lost, with and without changed rows.
#[tokio::test]
async fn a_batch_is_committed_once() {
    let rig = Rig::new().await;
    let (worker, mut shards) = rig.owner().await;
    let site = rig.site_with_member(&mut shards[1], uid(1)).await;
    for changes in [Vec::new(), vec![Change::Name { site, name: "Ann Bell".into(), uid: uid(1) }]] {
        let before = shards[0];
        let commit =
            Commit { shards: vec![ShardCommit { entry: Some(b"once".to_vec()), changes, ..part(&before) }] };
        rig.store.commit(&commit).await.unwrap();
        assert!(is_fenced(&rig.store.commit(&commit).await));

        let owned = rig.store.owned(worker).await.unwrap();
        shards[0] = *owned.iter().find(|row| row.shard == before.shard).unwrap();
        assert_eq!(shards[0].commits, before.commits + 1);
        assert_eq!(shards[0].last_entry, (before.last_entry.0 + 1, 7));
        assert_eq!(shards[0].last_msg_id.0, before.last_msg_id.0 + 1);
    }
    assert_eq!(rig.journal(shards[0].shard).await, [b"once", b"once"]);
    assert_eq!(rig.count("SELECT count(*) FROM name").await, 1);
}

/// Goal: a commit over several shards happens as a whole or not at all; method: one of two is stale, by its epoch and
/// then by its number of commits, and both carry an entry and a row.
#[tokio::test]
async fn one_fenced_shard_stops_the_whole_batch() {
    let rig = Rig::new().await;
    let (worker, shards) = rig.owner().await;
    let site = rig.create_site("site.example").await;
    let stale_counter = tmtp_store::OwnedShard { commits: 1, ..shards[1] };
    for stale in [under_older_epoch(shards[1]), stale_counter] {
        for with_rows in [false, true] {
            let row = |n| if with_rows { vec![Change::Member { site, uid: uid(n) }] } else { Vec::new() };
            let parts = [(1, shards[0]), (2, stale)].map(|(n, shard)| ShardCommit {
                entry: Some(vec![n]),
                changes: row(n),
                ..part(&shard)
            });
            assert!(is_fenced(&rig.store.commit(&Commit { shards: parts.to_vec() }).await));
        }
    }
    let mut now = rig.store.owned(worker).await.unwrap();
    now.sort_unstable_by_key(|shard| shard.shard);
    assert_eq!(now, shards);
    assert_eq!(rig.store.waiting().await.unwrap(), Waiting::default());
    assert_eq!(rig.count("SELECT count(*) FROM member").await, 0);
}

/// Goal: of commits decided on the same state exactly one happens; method: eight at once on two shards each, in both
/// orders of the shards.
#[tokio::test]
async fn one_of_many_concurrent_commits_wins() {
    let rig = Rig::new().await;
    let (_, shards) = rig.owner().await;
    let attempts: Vec<_> = (0..8_u8)
        .map(|n| {
            let mut parts: Vec<ShardCommit> =
                shards[..2].iter().map(|shard| ShardCommit { entry: Some(vec![n]), ..part(shard) }).collect();
            if n % 2 == 1 {
                parts.reverse();
            }
            let store = rig.store.clone();
            tokio::spawn(async move { store.commit(&Commit { shards: parts }).await })
        })
        .collect();
    let mut won = Vec::new();
    for (n, attempt) in (0..).zip(attempts) {
        match attempt.await.unwrap() {
            Ok(()) => won.push(vec![n]),
            Err(CommitError::Fenced) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(won.len(), 1);
    assert_eq!(rig.journal(shards[0].shard).await, won);
    assert_eq!(rig.journal(shards[1].shard).await, won);
}

/// Goal: a spill is fenced like a commit; method: a stale epoch, then a stale counter, with something to write, to
/// remove and to forget.
#[tokio::test]
async fn a_stale_spill_changes_nothing() {
    let rig = Rig::new().await;
    let (_, mut shards) = rig.owner().await;
    let site = tmtp_domain::SiteId(uuid::Uuid::new_v4());
    rig.commit(&mut shards[0], Some(b"entry"), Vec::new()).await.unwrap();
    let mut spill = acks(Vec::new());
    spill.messages = vec![message(site, 1, 1)];
    spill.inbox = vec![inbox(site, uid(1), 1, 1, 1)];
    spill.receipts = Some((1, b"pack".to_vec()));

    let stale_counter = tmtp_store::OwnedShard { commits: shards[0].commits - 1, ..shards[0] };
    for stale in [under_older_epoch(shards[0]), stale_counter] {
        assert!(is_fenced(&rig.spill(&stale, &spill).await));
    }
    assert_eq!(rig.journal(shards[0].shard).await, [b"entry"]);
    assert_eq!(rig.store.waiting().await.unwrap(), Waiting { journal: 1, ..Waiting::default() });
    assert_eq!(rig.count("SELECT count(*) FROM receipts").await, 0);
}

/// Goal: rows that Postgres refuses take the progress and the entry with them; method: a node of nobody.
#[tokio::test]
async fn a_refused_row_undoes_the_commit() {
    let rig = Rig::new().await;
    let (worker, shards) = rig.owner().await;
    let site = rig.create_site("site.example").await;
    let mut shard = shards[0];
    let result = rig.commit(&mut shard, Some(b"entry"), vec![node(site, uid(1), 1, "of nobody")]).await;
    assert!(matches!(result, Err(CommitError::Store(Error::Refused(_)))), "{result:?}");
    assert!(rig.store.owned(worker).await.unwrap().contains(&shards[0]));
    assert!(rig.journal(shards[0].shard).await.is_empty());
}

/// Goal: a refusal that is about the values of one batch is told from one that is about the database, and both from an
/// outage; method: a member of a site that does not exist, a missing permission, and a server that takes no writes.
#[tokio::test]
async fn refusals_are_told_apart() {
    let rig = Rig::new().await;
    let (_, shards) = rig.owner().await;
    let nowhere = Change::Member { site: tmtp_domain::SiteId(uuid::Uuid::new_v4()), uid: uid(1) };
    let commit = |changes| Commit { shards: vec![ShardCommit { changes, ..part(&shards[0]) }] };
    let refused = async |changes| match rig.store.commit(&commit(changes)).await {
        Err(CommitError::Store(error)) => (error.is_about_data(), error.is_transient()),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(vec![nowhere]).await, (true, false));
    sqlx::query("ALTER TABLE journal RENAME TO elsewhere").execute(&rig.pool).await.unwrap();
    assert_eq!(refused(Vec::new()).await, (false, false));
    sqlx::query("ALTER TABLE elsewhere RENAME TO journal").execute(&rig.pool).await.unwrap();
    let read_only = "DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database()
                     || ' SET default_transaction_read_only = on'; END $$";
    sqlx::raw_sql(read_only).execute(&rig.pool).await.unwrap();
    let late = tmtp_store::Store::connect(&rig.url, 1, crate::rig::DEADLINE).await.unwrap();
    match late.commit(&commit(Vec::new())).await {
        Err(CommitError::Store(error)) => assert!(error.is_transient(), "{error:?}"),
        other => panic!("{other:?}"),
    }
}

/// Goal: a confirmed commit is on disk whatever the server's default says, and a stricter default stays; method:
/// databases whose defaults differ, and what a backend of the store says of itself.
#[tokio::test]
async fn commits_are_durable_whatever_the_default() {
    for (default, expected) in
        [("off", "on"), ("local", "on"), ("on", "on"), ("remote_apply", "remote_apply")]
    {
        let rig = Rig::new().await;
        let name: String =
            sqlx::query_scalar("SELECT current_database()").fetch_one(&rig.pool).await.unwrap();
        let alter = format!("ALTER DATABASE \"{name}\" SET synchronous_commit = {default}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(alter)).execute(&rig.pool).await.unwrap();
        // What the store's own connections have, seen from a trigger that its commit fires.
        sqlx::raw_sql(
            "CREATE TABLE seen (setting text);
             CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NEW; END $$;
             CREATE TRIGGER see AFTER INSERT ON journal FOR EACH ROW EXECUTE FUNCTION see()",
        )
        .execute(&rig.pool)
        .await
        .unwrap();
        let store = Store::connect(&rig.url, 2, DEADLINE).await.unwrap();
        let (_, shards) = rig.owner().await;
        let part = ShardCommit { entry: Some(b"entry".to_vec()), ..part(&shards[0]) };
        store.commit(&Commit { shards: vec![part] }).await.unwrap();
        let seen: Vec<String> =
            sqlx::query_scalar("SELECT setting FROM seen").fetch_all(&rig.pool).await.unwrap();
        assert_eq!(seen, [expected], "default {default}");
    }
}
