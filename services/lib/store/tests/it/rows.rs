//! Members, nodes and names: what commits write and batches read.

use tmtp_domain::{Group, GroupStatus, MemberStatus, Membership, NameHolder, NodeNum};
use tmtp_store::Change;

use crate::rig::{Rig, node, secret, uid};

/// Goal: a batch learns of the members that it names, with all their nodes in order, and of no others; method: two
/// members of one site, one of another, and asking for a stranger, too.
#[tokio::test]
async fn members_come_with_their_nodes() {
    let rig = Rig::new().await;
    let (_, mut shards) = rig.owner().await;
    let (ann, ben) = (uid(1), uid(2));
    let here = rig.site_with_member(&mut shards[0], ann).await;
    let there = rig.create_site("other.example").await;
    let changes = vec![
        node(here, ann, 3, "third"),
        node(here, ann, 2, "second"),
        Change::Member { site: here, uid: ben },
        node(here, ben, 1, "only"),
        Change::Member { site: there, uid: ann },
        node(there, ann, 1, "elsewhere"),
    ];
    rig.commit(&mut shards[0], None, changes).await.unwrap();
    sqlx::query("UPDATE member SET status = 'suspended' WHERE uid = $1")
        .bind(ben.0.as_slice())
        .execute(&rig.pool)
        .await
        .unwrap();

    let mut found =
        rig.store.members(&[(here, ben), (here, ann), (here, uid(9)), (there, ben)]).await.unwrap();
    found.sort_by_key(|(_, member)| member.uid);
    let [(first_site, first), (_, second)] = &found[..] else { panic!("{found:?}") };
    assert_eq!((*first_site, first.uid, first.status), (here, ann, MemberStatus::Active));
    let nodes: Vec<_> = first.nodes.iter().map(|node| (node.num, node.secret)).collect();
    assert_eq!(nodes, [1, 2, 3].map(|num| (NodeNum(num), secret(ann, num))));
    assert_eq!((second.uid, second.status, second.nodes.len()), (ben, MemberStatus::Suspended, 1));
}

/// Goal: rows that exist already stay as they are when their command is applied again; method: everything twice, with
/// another label the second time and a name that is somebody else's.
#[tokio::test]
async fn rows_are_made_once() {
    let rig = Rig::new().await;
    let (_, mut shards) = rig.owner().await;
    let (ann, ben) = (uid(1), uid(2));
    let site = rig.site_with_member(&mut shards[0], ann).await;
    let name = |uid| Change::Name { site, name: "Ann Bell".into(), uid };
    let first = vec![name(ann), Change::Member { site, uid: ben }, node(site, ben, 1, "x")];
    rig.commit(&mut shards[0], None, first).await.unwrap();
    let again = vec![Change::Member { site, uid: ann }, node(site, ann, 1, "other"), name(ben)];
    rig.commit(&mut shards[0], None, again).await.unwrap();

    let labels: Vec<String> =
        sqlx::query_scalar("SELECT label FROM node ORDER BY label").fetch_all(&rig.pool).await.unwrap();
    assert_eq!(labels, ["first", "x"]);
    let key = (site, "Ann Bell".to_owned());
    assert_eq!(rig.store.names(std::slice::from_ref(&key)).await.unwrap()[&key], NameHolder::Member(ann));
}

/// Goal: names are found as they are spelled, in their own site; method: other spellings, another site, odd texts.
#[tokio::test]
async fn names_are_exact() {
    let rig = Rig::new().await;
    let (_, mut shards) = rig.owner().await;
    let here = rig.site_with_member(&mut shards[0], uid(1)).await;
    let there = rig.create_site("other.example").await;
    let name = "Änn ' Bell% \\".to_owned();
    rig.commit(&mut shards[0], None, vec![Change::Name { site: here, name: name.clone(), uid: uid(1) }])
        .await
        .unwrap();
    let asked = [
        (here, name.clone()),
        (there, name.clone()),
        (here, name.to_lowercase()),
        (here, format!("{name} ")),
    ];
    let found = rig.store.names(&asked).await.unwrap();
    assert_eq!(found, [((here, name), NameHolder::Member(uid(1)))].into());
}

/// Goal: no label that a client can send makes Postgres refuse a commit; method: the character that its text cannot
/// hold, and an empty and a long label.
#[tokio::test]
async fn labels_may_be_any_text() {
    let rig = Rig::new().await;
    let (_, mut shards) = rig.owner().await;
    let ann = uid(1);
    let site = rig.site_with_member(&mut shards[0], ann).await;
    let labels = ["with \0 in it", "", &"x".repeat(60_000)];
    let changes = (2..).zip(labels).map(|(num, label)| node(site, ann, num, label)).collect();
    rig.commit(&mut shards[0], None, changes).await.unwrap();
    let kept: Vec<String> = sqlx::query_scalar("SELECT label FROM node WHERE num > 1 ORDER BY num")
        .fetch_all(&rig.pool)
        .await
        .unwrap();
    assert_eq!(kept, ["with \u{FFFD} in it", "", labels[2]]);
}

/// Goal: a group is found with the last place of everybody in it, in its own site, and its name is nobody's alias; method:
/// found it, change places twice in one commit and once more in another, and look from two sites.
#[tokio::test]
async fn groups_come_with_their_places() {
    let rig = Rig::new().await;
    let (_, mut shards) = rig.owner().await;
    let (ann, ben) = (uid(1), uid(2));
    let here = rig.site_with_member(&mut shards[0], ann).await;
    let there = rig.create_site("other.example").await;
    let gid = "The Group".to_owned();
    let membership = |status, alias: &str| Membership { status, alias: alias.into() };
    let place = |uid, status, alias: &str| Change::Place {
        site: here,
        gid: gid.clone(),
        uid,
        place: membership(status, alias),
    };
    let changes = vec![
        Change::Member { site: here, uid: ben },
        Change::Group { site: here, gid: gid.clone() },
        place(ann, GroupStatus::Joined, "Ann Bell"),
        place(ben, GroupStatus::Invited, "Ben Bell"),
        place(ben, GroupStatus::Joined, "Ben Bell"),
    ];
    rig.commit(&mut shards[0], None, changes).await.unwrap();
    let again =
        vec![Change::Group { site: here, gid: gid.clone() }, place(ann, GroupStatus::Barred, "Ann Other")];
    rig.commit(&mut shards[0], None, again).await.unwrap();

    let asked = [(here, gid.clone()), (there, gid.clone()), (here, "No Group".to_owned())];
    let found = rig.store.groups(&asked).await.unwrap();
    let expected = Group::new([
        (ann, membership(GroupStatus::Barred, "Ann Other")),
        (ben, membership(GroupStatus::Joined, "Ben Bell")),
    ]);
    assert_eq!(found, [((here, gid.clone()), expected)].into());
    let names = rig.store.names(&asked).await.unwrap();
    assert_eq!(names, [((here, gid), NameHolder::Group)].into());
}
