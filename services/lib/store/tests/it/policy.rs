//! What policies ask of the rows, and what they write there; a site never sees what is another's.

use std::collections::HashSet;

use tmtp_domain::policy::Backlog;
use tmtp_domain::{
    Away, GroupMode, GroupRule, GroupStatus, MemberFlags, Membership, MsgId, NodeNum, SiteId, Uid,
};
use tmtp_store::{Change, InboxRow, MessageRow, OwnedShard, PolicyChange, QuietLimit, Spill};

use crate::rig::{Rig, inbox, message, node, uid};

const ANN: u8 = 1;
const BEN: u8 = 2;
const CY: u8 = 3;

/// A site with three members that have a node each.
async fn scene() -> (Rig, OwnedShard, SiteId) {
    let rig = Rig::new().await;
    let (_, mut shards) = rig.owner().await;
    let mut shard = shards.remove(0);
    let site = rig.site_with_member(&mut shard, uid(ANN)).await;
    for n in [BEN, CY] {
        let changes = vec![Change::Member { site, uid: uid(n) }, node(site, uid(n), 1, "first")];
        rig.commit(&mut shard, None, changes).await.unwrap();
    }
    (rig, shard, site)
}

fn place(site: SiteId, gid: &str, n: u8, status: GroupStatus) -> Change {
    let place = Membership { status, alias: format!("member {n}") };
    Change::Place { site, gid: gid.to_owned(), uid: uid(n), place }
}

async fn member(rig: &Rig, site: SiteId, who: Uid) -> MemberFlags {
    rig.store.members(&[(site, who)]).await.unwrap().remove(0).1.flags
}

/// Goal: a member's oldest alias is found, of those that have one; method: two aliases, none, and another site.
#[tokio::test]
async fn own_aliases() {
    let (rig, mut shard, site) = scene().await;
    for name in ["Zoe first", "Ann second"] {
        let change = Change::Name { site, name: name.into(), uid: uid(ANN) };
        rig.commit(&mut shard, None, vec![change]).await.unwrap();
    }
    let other = rig.create_site("other.example").await;
    let wanted = [(site, uid(ANN)), (site, uid(BEN)), (other, uid(ANN))];
    let found = rig.store.own_aliases(&wanted).await.unwrap();
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [((site, uid(ANN)), "Zoe first".to_owned())]);
}

/// Goal: groups are counted that a member has joined, and make acquaintances of who is at least invited and who has joined,
/// in that direction; so do rows, once each; method: a group of all three, then a row.
#[tokio::test]
async fn groups_and_acquaintances() {
    let (rig, mut shard, site) = scene().await;
    let changes = vec![
        Change::Group { site, gid: "the group".into() },
        place(site, "the group", ANN, GroupStatus::Joined),
        place(site, "the group", BEN, GroupStatus::Invited),
        place(site, "the group", CY, GroupStatus::Barred),
    ];
    rig.commit(&mut shard, None, changes).await.unwrap();
    let other = rig.create_site("other.example").await;
    let wanted = [(site, uid(ANN)), (site, uid(BEN)), (site, uid(CY)), (other, uid(ANN))];
    let counts = rig.store.group_counts(&wanted).await.unwrap();
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), [((site, uid(ANN)), 1)]);

    let pairs = |site| {
        let of = |a, b| (site, uid(a), uid(b));
        [of(ANN, BEN), of(BEN, ANN), of(ANN, CY), of(CY, ANN), of(BEN, CY), of(CY, BEN)]
    };
    let found = rig.store.acquainted(&pairs(site)).await.unwrap();
    assert_eq!(found, HashSet::from([(site, uid(BEN), uid(ANN))]));
    let written = || Change::Policy(PolicyChange::Acquainted { site, uid: uid(CY), with: uid(BEN) });
    rig.commit(&mut shard, None, vec![written(), written()]).await.unwrap();
    rig.commit(&mut shard, None, vec![written()]).await.unwrap();
    let found = rig.store.acquainted(&pairs(site)).await.unwrap();
    assert_eq!(found, HashSet::from([(site, uid(BEN), uid(ANN)), (site, uid(CY), uid(BEN))]));
    assert!(rig.store.acquainted(&pairs(other)).await.unwrap().is_empty());
}

/// Goal: a group's rule comes with the group, the last one counts, and goes with its name; method: two rules, a group
/// without one, and the end.
#[tokio::test]
async fn rules_of_groups() {
    let (rig, mut shard, site) = scene().await;
    let gids = ["the group", "another group"];
    for gid in gids {
        let changes =
            vec![Change::Group { site, gid: gid.into() }, place(site, gid, ANN, GroupStatus::Joined)];
        rig.commit(&mut shard, None, changes).await.unwrap();
    }
    let rule = |mode, posters: &[u8]| GroupRule { mode, posters: posters.iter().map(|n| uid(*n)).collect() };
    for rule in [rule(GroupMode::Closed, &[]), rule(GroupMode::Announce, &[BEN, ANN])] {
        let change = PolicyChange::GroupRule { site, gid: gids[0].into(), rule };
        rig.commit(&mut shard, None, vec![Change::Policy(change)]).await.unwrap();
    }
    let groups = rig.store.groups(&gids.map(|gid| (site, gid.to_owned()))).await.unwrap();
    assert_eq!(groups[&(site, gids[0].to_owned())].rule(), &rule(GroupMode::Announce, &[ANN, BEN]));
    assert_eq!(groups[&(site, gids[1].to_owned())].rule(), &GroupRule::default());
    assert_eq!(groups[&(site, gids[0].to_owned())].len(), 1);
    let record = rig.all().await.group_record(site, gids[0]).await.unwrap().unwrap();
    assert_eq!((record.joined, record.rule), (1, rule(GroupMode::Announce, &[ANN, BEN])));
    let records = rig.all().await.group_records(site, None, 10).await.unwrap();
    let modes: Vec<GroupMode> = records.iter().map(|record| record.rule.mode).collect();
    assert_eq!(modes, [GroupMode::Free, GroupMode::Announce]);
    sqlx::query("DELETE FROM group_member").execute(&rig.pool).await.unwrap();
    sqlx::query("DELETE FROM name").execute(&rig.pool).await.unwrap();
    assert_eq!(rig.count("SELECT count(*) FROM group_rule").await, 0);
}

/// Goal: what is set of a member is read as it was written, by workers and by admins; method: set, changed, gone.
#[tokio::test]
async fn flags_of_members() {
    let (rig, mut shard, site) = scene().await;
    assert_eq!(member(&rig, site, uid(ANN)).await, MemberFlags::default());
    let away = |until, delegate| Some(Away { text: "back soon".into(), until, delegate });
    for flags in [
        MemberFlags { receive_only: true, away: away(Some(1_790_000_000_123), Some(uid(BEN))) },
        MemberFlags { receive_only: false, away: away(None, None) },
        MemberFlags::default(),
    ] {
        let change = PolicyChange::MemberFlags { site, uid: uid(ANN), flags: flags.clone() };
        rig.commit(&mut shard, None, vec![Change::Policy(change)]).await.unwrap();
        assert_eq!(member(&rig, site, uid(ANN)).await, flags);
        assert_eq!(rig.all().await.member_record(site, uid(ANN)).await.unwrap().unwrap().flags, flags);
        assert_eq!(member(&rig, site, uid(BEN)).await, MemberFlags::default());
    }
}

fn with_body(row: MessageRow, octets: usize) -> MessageRow {
    MessageRow { body: Some(vec![0; octets].into()), ..row }
}

fn places(site: SiteId, places: &[(u8, i16, u64)]) -> Vec<InboxRow> {
    places.iter().map(|&(n, num, id)| inbox(site, uid(n), num, 1, id)).collect()
}

/// Goal: what waits is counted by messages, not by devices, in octets of the data wherever it lies; method: messages for
/// one device and for several, one without data, one whose data is in the body store.
#[tokio::test]
async fn backlogs() {
    let (rig, mut shard, site) = scene().await;
    let other = rig.create_site("other.example").await;
    let body = crate::rig::stored(5);
    rig.commit(&mut shard, None, vec![Change::BodyHeld { site, body }]).await.unwrap();
    let spill = Spill {
        messages: vec![
            with_body(message(site, 10, 3), 7),
            message(site, 20, 1),
            MessageRow { body_id: Some(body.id), ..message(site, 30, 1) },
            with_body(message(other, 10, 1), 1_000),
        ],
        inbox: [
            places(site, &[(ANN, 1, 10), (ANN, 2, 10), (BEN, 1, 10), (ANN, 1, 20), (BEN, 1, 30)]),
            places(other, &[(ANN, 1, 10)]),
        ]
        .concat(),
        ..Spill::default()
    };
    rig.spill(&shard, &spill).await.unwrap();
    let mut found =
        rig.store.member_backlogs(&[(site, uid(ANN)), (site, uid(BEN)), (site, uid(CY))]).await.unwrap();
    found.sort_by_key(|(_, uid, _)| *uid);
    let expected = [
        (site, uid(ANN), Backlog { messages: 2, octets: 7 }),
        (site, uid(BEN), Backlog { messages: 2, octets: 100_007 }),
        (site, uid(CY), Backlog::default()),
    ];
    assert_eq!(found, expected);
    let sites = rig.store.site_backlogs(&[site]).await.unwrap();
    assert_eq!(sites, [(site, Backlog { messages: 3, octets: 100_007 })]);
}

/// Goal: the oldest messages are found with all of their places, up to the id and the limit, of sites that are asked for;
/// method: messages of two sites.
#[tokio::test]
async fn old_rows() {
    let (rig, shard, site) = scene().await;
    let other = rig.create_site("other.example").await;
    let ids = [10, 20, 30, 40];
    let spill = Spill {
        messages: ids.iter().map(|id| message(site, *id, 1)).chain([message(other, 10, 1)]).collect(),
        inbox: [
            places(
                site,
                &[(ANN, 1, 10), (ANN, 2, 10), (BEN, 1, 10), (ANN, 1, 20), (BEN, 1, 30), (ANN, 1, 40)],
            ),
            places(other, &[(ANN, 1, 10)]),
        ]
        .concat(),
        ..Spill::default()
    };
    rig.spill(&shard, &spill).await.unwrap();
    let old = async |until, limit| {
        let rows = rig.store.old_rows(&[(site, MsgId(until))], limit).await.unwrap();
        let mut rows: Vec<(String, u8, i16)> = rows
            .into_iter()
            .map(|row| (String::from_utf8(row.header).unwrap(), row.uid.0[0], row.node.0))
            .collect();
        rows.sort();
        rows
    };
    let row = |id: &str, n, num| (id.to_owned(), n, num);
    assert_eq!(old(9, 10).await, []);
    let ten = [row("10", ANN, 1), row("10", ANN, 2), row("10", BEN, 1)];
    assert_eq!(old(10, 10).await, ten);
    assert_eq!(old(1_000, 1).await, ten);
    assert_eq!(old(30, 10).await, [&ten[..], &[row("20", ANN, 1), row("30", BEN, 1)]].concat());
}

/// Goal: a quiet device is to be warned of once, then it is over when the grace is and something waits, and a login makes
/// that void; method: times of nodes set back, step by step.
#[tokio::test]
async fn quiet_devices() {
    let (rig, mut shard, site) = scene().await;
    let spill = Spill {
        messages: vec![message(site, 10, 2)],
        inbox: places(site, &[(ANN, 1, 10), (BEN, 1, 10)]),
        ..Spill::default()
    };
    rig.spill(&shard, &spill).await.unwrap();
    let quiet = async || {
        let limit = QuietLimit { site, days: 90, grace_days: 7 };
        let devices = rig.store.quiet_devices(&[limit], 10).await.unwrap();
        devices.into_iter().map(|device| (device.uid.0[0], device.is_over)).collect::<Vec<_>>()
    };
    let age = async |column: &str, days: i32| {
        let query =
            format!("UPDATE node SET {column} = now() - make_interval(days => {days}) WHERE uid = $1");
        sqlx::query(sqlx::AssertSqlSafe(query)).bind(uid(ANN).0.as_slice()).execute(&rig.pool).await.unwrap();
    };
    assert_eq!(quiet().await, []);
    age("created_at", 91).await;
    assert_eq!(quiet().await, [(ANN, false)]);
    age("last_seen_at", 89).await;
    assert_eq!(quiet().await, []);
    age("last_seen_at", 91).await;
    let warned = PolicyChange::QuietWarned { site, uid: uid(ANN), node: NodeNum(1) };
    rig.commit(&mut shard, None, vec![Change::Policy(warned)]).await.unwrap();
    assert_eq!(quiet().await, [], "warned of, and the grace is not over");
    age("quiet_warned_at", 8).await;
    assert_eq!(quiet().await, [(ANN, true)]);
    age("last_seen_at", 0).await;
    assert_eq!(quiet().await, [], "it has come back");
    age("last_seen_at", 91).await;
    age("quiet_warned_at", 92).await;
    assert_eq!(quiet().await, [(ANN, false)], "warned of before it came back");
    age("quiet_warned_at", 8).await;
    sqlx::query("DELETE FROM inbox").execute(&rig.pool).await.unwrap();
    assert_eq!(quiet().await, [], "nothing waits");
}
