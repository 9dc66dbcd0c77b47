//! What a policy says of messages that wait, and of devices that nobody uses.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use tmtp_contract::{Body, BodyRef, Command, Content, DataInfo, Digest, Envelope, Message};
use tmtp_domain::policy::{Backlog, Expired};
use tmtp_domain::{BodyId, MsgId, NodeNum, Policy, SessionId, SiteId, Uid};
use tmtp_store::{Change, PolicyChange};
use tmtp_worker::home::{NodeKey, Old, Quiet, SITE, Wanted, World, expired_ids};
use uuid::Uuid;

use crate::rig::{ANN, BEN, G1, HERE, LIMITS, Rig, Told, acks, digest, login, post, post_body, user};

const CY: Uid = Uid([3; 20]);
const DAY: u64 = 24 * 60 * 60 * 1_000_000_000;

fn key(uid: Uid, node: i16) -> NodeKey {
    NodeKey { site: HERE, uid, node: NodeNum(node) }
}

/// Ann is there; Ben has two devices and Cy one, and are not.
fn scene(policy: impl FnOnce(&mut Policy)) -> Rig {
    let mut rig = Rig::new();
    rig.member(HERE, BEN, 2);
    rig.member(HERE, CY, 1);
    policy(&mut rig.sites.get_mut(&HERE).unwrap().policy);
    rig.log_in((G1, 1), ANN, 1);
    rig
}

fn expire(rig: &mut Rig, rows: Vec<Old>) -> (usize, Told) {
    let mut facts = std::mem::take(&mut rig.facts);
    let world = World { sites: &rig.sites, facts: &mut facts };
    let limits = expired_ids(&rig.sites, rig.now);
    let dropped = rig.home.expire(rig.now, &limits, rows, &world);
    rig.facts = facts;
    (dropped, rig.settle())
}

/// The text of a ping from the site.
fn text(message: &Message) -> &str {
    assert_eq!(message.from, SITE);
    assert!(matches!(&message.content, Content::Ping { alias, .. } if alias == "A site"), "{message:?}");
    match &message.body {
        Body::Inline(octets) => std::str::from_utf8(octets).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Goal: a message goes when its time is over and not before, from memory and from rows, with its body, also for the next
/// owner; its sender is told of those whom it has reached nowhere; method: one message for three devices, of which one has
/// acked it.
#[test]
fn too_old() {
    for spills in [false, true] {
        let mut rig = scene(|policy| {
            policy.undelivered.days_max = Some(30);
            policy.undelivered.expired = Expired::Return;
        });
        let body = BodyRef { id: BodyId(Uuid::from_u128(5)), len: 100_000, chunk: 65_536 };
        rig.facts.aliases.insert((HERE, CY), "Cy Bellow".to_owned());
        let (id, _) = rig.run((G1, 1), post_body(1, &[BEN, CY], Body::Stored(body))).posted();
        rig.log_in((G1, 2), BEN, 2);
        rig.run((G1, 2), Command::Detach);
        let rows = |rig: &Rig| -> Vec<Old> {
            let old =
                |message| [key(BEN, 1), key(CY, 1)].map(|key| Old { key, message: Arc::clone(message) });
            rig.row_message(BEN, 1, id).iter().flat_map(old).collect()
        };
        if spills {
            rig.spill();
            assert_eq!(rows(&rig).len(), 2);
        }
        rig.now.nanos += 30 * DAY - 1_000_000_000;
        assert_eq!(expire(&mut rig, Vec::new()).0, 0);
        rig.now.nanos += 1_000_000_000;
        let old = rows(&rig);
        let (dropped, told) = expire(&mut rig, old.clone());
        // A notice of a login is as old as that, and is not returned to anybody.
        assert!(dropped >= 1, "{dropped}");
        let messages = told.messages((G1, 1));
        let texts: Vec<&str> = messages.iter().map(|message| text(message)).collect();
        assert_eq!(texts, [format!("Not delivered to Cy Bellow in 30 days: {id} of 2026-09-21")]);
        assert_eq!(rig.waiting(), 1, "the note to Ann");
        if spills {
            rig.spill();
            // The notice of Ben's login was not among the rows that were looked at.
            assert_eq!((rig.rows(BEN, 1), rig.rows(CY, 1)), (1, 0));
        } else {
            assert_eq!(rig.home.take_free_bodies(), [(HERE, body)]);
        }
        // Rows that were read before they went are no reason to tell anybody again.
        rig.run((G1, 1), acks(&[messages[0].id]));
        let next = Rig::recovered(&rig.journal(), LIMITS, &[]);
        assert_eq!(next.waiting(), usize::from(spills), "the notice of Ben's login");
    }
}

/// Goal: nothing goes that is being delivered, at sites without the rule, or was acked; without `return` nobody is told;
/// method: each.
#[test]
fn not_too_old() {
    let mut rig = scene(|policy| policy.undelivered.days_max = Some(1));
    rig.run((G1, 1), post(1, &[CY])).posted();
    rig.run((G1, 3), login(CY, 1));
    rig.now.nanos += 2 * DAY;
    assert_eq!(expire(&mut rig, Vec::new()).0, 0, "Cy is there");
    rig.run((G1, 3), Command::Detach);
    rig.sites.get_mut(&HERE).unwrap().policy.undelivered.days_max = None;
    assert_eq!(expire(&mut rig, Vec::new()).0, 0, "no rule");
    rig.sites.get_mut(&HERE).unwrap().policy.undelivered.days_max = Some(1);
    let (dropped, told) = expire(&mut rig, Vec::new());
    assert!(dropped >= 1);
    assert!(told.is_silence(), "nobody is told");
    assert_eq!(rig.waiting(), 0);
}

/// Goal: the user of a quiet device is warned, which is noted, and later its queue goes, but not while it is there; method:
/// each stage, and a device that is gone.
#[test]
fn quiet_devices() {
    let mut rig = scene(|policy| policy.devices.quiet_days = Some(90));
    rig.run((G1, 1), post(1, &[BEN])).posted();
    let quiet = |node, is_over| Quiet { key: key(BEN, node), label: "old phone".to_owned(), is_over };
    let run = |rig: &mut Rig, devices| {
        let mut facts = std::mem::take(&mut rig.facts);
        let world = World { sites: &rig.sites, facts: &mut facts };
        rig.home.quiet(rig.now, devices, &world);
        rig.facts = facts;
        rig.settle()
    };
    rig.log_in((G1, 2), BEN, 2);
    let told = run(&mut rig, vec![quiet(1, false), quiet(7, false), quiet(2, false)]);
    let messages = told.messages((G1, 2));
    let texts: Vec<&str> = messages.iter().map(|message| text(message)).collect();
    assert_eq!(
        texts,
        ["Your device old phone was not used for 90 days. In 7 days its messages are dropped."]
    );
    let warned = rig.commits.last().unwrap().changes.iter().filter(|change| {
        matches!(change, Change::Policy(PolicyChange::QuietWarned { site, uid, node })
            if (*site, *uid, *node) == (HERE, BEN, NodeNum(1)))
    });
    assert_eq!(warned.count(), 1);
    rig.run((G1, 2), acks(&[messages[0].id]));
    assert!(rig.waiting() >= 2, "the post and the warning wait at the old phone");
    run(&mut rig, vec![quiet(1, true), quiet(2, true)]);
    assert_eq!(rig.waiting(), 0);
    let dropped = rig.commits.last().unwrap().changes.iter();
    let dropped = dropped.filter(|change| matches!(change, Change::DropInbox { node: NodeNum(1), .. }));
    assert_eq!(dropped.count(), 1);
    rig.sites.get_mut(&HERE).unwrap().policy.devices.quiet_days = None;
    assert!(run(&mut rig, vec![quiet(1, false)]).is_silence());
}

/// Goal: what waits in rows is counted once when it is asked for, and anew after a spill; method: what posts want.
#[test]
fn rows_are_counted_when_they_have_changed() {
    let mut rig = scene(|policy| {
        policy.undelivered.member_messages_max = Some(2);
        policy.undelivered.site_octets_max = Some(1_000);
    });
    let wants = |rig: &Rig| wants(rig, post(9, &[BEN]));
    assert_eq!(wants(&rig), (vec![(HERE, BEN)], 1));
    rig.home.learn_member_backlog(HERE, BEN, Backlog { messages: 1, octets: 5 });
    rig.home.learn_site_backlog(HERE, Backlog { messages: 1, octets: 990 });
    assert_eq!(wants(&rig), (vec![], 0));
    rig.run((G1, 1), post(1, &[BEN])).posted();
    let full = format!("site policy: too much waits for {BEN}, try again later");
    assert_eq!(rig.run((G1, 1), post(2, &[BEN])).refusal(), full);
    let large = Command::Post {
        digest: digest(3),
        recipients: vec![user(CY)],
        data: DataInfo { len: 20, head: 0, sum: 0 },
        body: Body::Inline(Bytes::from(vec![0; 20])),
        front: None,
    };
    let told = rig.run((G1, 1), large);
    assert_eq!(told.refusal(), "site policy: too much waits at this site, try again later");
    rig.spill();
    assert_eq!(wants(&rig), (vec![(HERE, BEN)], 1));
}

/// Of whom and at how many sites a command of Ann's needs counts.
fn wants(rig: &Rig, command: Command) -> (Vec<(SiteId, Uid)>, usize) {
    let mut wanted = Wanted::default();
    let envelope = Envelope { site: HERE, session: SessionId(1), seq: 9, trace: None, command };
    rig.home.wants_for_policy(G1, &envelope, &rig.sites, &rig.facts, &mut wanted);
    (wanted.member_backlogs.into_iter().collect(), wanted.site_backlogs.len())
}

/// What happens in the model.
#[derive(Debug, Clone)]
enum Step {
    /// Ann posts to some of them so many octets.
    Post(Vec<bool>, u8),
    /// A device acks its oldest message.
    Ack(usize),
    /// What waits becomes rows.
    Spill,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (prop::collection::vec(any::<bool>(), 2), 1_u8..50).prop_map(|(to, octets)| Step::Post(to, octets)),
        2 => (0_usize..3).prop_map(Step::Ack),
        1 => Just(Step::Spill),
    ]
}

/// What waits at each device: messages with their octets.
type Queues = [(NodeKey, BTreeMap<MsgId, u64>); 3];

/// What waits for a user, or for all, each message once.
fn count(queues: &Queues, of: impl Fn(Uid) -> bool) -> Backlog {
    let mut seen = BTreeSet::new();
    let mut backlog = Backlog::default();
    for (id, octets) in queues.iter().filter(|(key, _)| of(key.uid)).flat_map(|(_, queue)| queue) {
        if seen.insert(*id) {
            backlog.add(*octets);
        }
    }
    backlog
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Goal: a post is refused exactly when more would wait than is allowed, wherever it waits; method: random posts, acks
    /// and spills, each decision compared with a count over queues of the model; the rows are counted there, too. What was
    /// acked counts until the next spill when it was in rows.
    #[test]
    fn quotas(
        steps in prop::collection::vec(step(), 1..80),
        messages in 1_u64..6,
        octets in 20_u64..200,
        of_site in any::<bool>(),
    ) {
        let mut rig = scene(|policy| {
            let policy = &mut policy.undelivered;
            if of_site {
                (policy.site_messages_max, policy.site_octets_max) = (Some(messages), Some(octets));
            } else {
                (policy.member_messages_max, policy.member_octets_max) = (Some(messages), Some(octets));
            }
        });
        let sessions = [((G1, 2), BEN, 1), ((G1, 3), BEN, 2), ((G1, 4), CY, 1)].map(|(who, uid, node)| {
            let ids = rig.run(who, login(uid, node)).delivered(who);
            rig.run(who, acks(&ids));
            who
        });
        // The notices of the logins are no part of the model.
        let ids: Vec<MsgId> = rig.home.spill(rig.now).unwrap().inbox.iter().map(|row| row.msg_id).collect();
        for who in sessions.into_iter().chain([(G1, 1)]) {
            rig.run(who, acks(&ids));
        }
        prop_assert_eq!(rig.waiting(), 0);
        let empty = |key| (key, BTreeMap::new());
        let mut waits: Queues = [key(BEN, 1), key(BEN, 2), key(CY, 1)].map(empty);
        // What is in rows, acked or not: as the database would count it.
        let mut rows: Queues = [key(BEN, 1), key(BEN, 2), key(CY, 1)].map(empty);
        let mut counted = waits.clone();
        for (number, step) in (0_u64..).zip(steps) {
            match step {
                Step::Post(to, size) => {
                    let to: Vec<Uid> =
                        [BEN, CY].into_iter().zip(to).filter(|(_, is_named)| *is_named).map(|(uid, _)| uid).collect();
                    let mut digest = [0; 16];
                    digest[..8].copy_from_slice(&number.to_be_bytes());
                    let command = Command::Post {
                        digest: Digest(digest),
                        recipients: to.iter().map(|uid| user(*uid)).collect(),
                        data: DataInfo { len: size.into(), head: 0, sum: 0 },
                        body: Body::Inline(vec![0; size.into()].into()),
                        front: None,
                    };
                    let (members, sites) = wants(&rig, command.clone());
                    for (_, uid) in members {
                        rig.home.learn_member_backlog(HERE, uid, count(&rows, |of| of == uid));
                    }
                    if sites > 0 {
                        rig.home.learn_site_backlog(HERE, count(&rows, |_| true));
                    }
                    let more = Backlog { messages: 1, octets: size.into() };
                    let fits = |backlog: Backlog| backlog.and(more).fits(Some(messages), Some(octets));
                    let expected = if of_site {
                        fits(count(&counted, |_| true))
                    } else {
                        to.iter().all(|uid| fits(count(&counted, |of| of == *uid)))
                    };
                    let told = rig.run((G1, 1), command);
                    if !expected {
                        prop_assert!(told.refusal().starts_with("site policy: too much waits"));
                        continue;
                    }
                    let (id, _) = told.posted();
                    for (key, queue) in waits.iter_mut().chain(&mut counted).filter(|(key, _)| to.contains(&key.uid)) {
                        prop_assert!(queue.insert(id, size.into()).is_none(), "{:?}", key);
                    }
                }
                Step::Ack(device) => {
                    let Some((id, _)) = waits[device].1.pop_first() else { continue };
                    if !rows[device].1.contains_key(&id) {
                        counted[device].1.remove(&id);
                    }
                    let told = rig.run(sessions[device], acks(&[id]));
                    prop_assert!(told.0.answers.is_empty());
                }
                Step::Spill => {
                    rig.spill();
                    rows = waits.clone();
                    counted = waits.clone();
                }
            }
        }
    }
}
