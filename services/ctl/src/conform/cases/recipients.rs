//! Section 9: who gets a message.

use serde_json::{Value, json};

use super::{Case, case};
use crate::conform::link::{Link, Result, fresh};
use crate::conform::world::{User, World};

/// A founder with two devices, a member, one who is invited, one who was barred, and a stranger.
struct Cast {
    gid: String,
    ann: User,
    device: Link,
    ben: User,
    invited: User,
    barred: User,
    stranger: User,
}

impl Cast {
    async fn new(world: &World) -> Result<Self> {
        let [mut ann, mut ben, invited, mut barred, stranger] = world.users().await?;
        let device = ann.device(world).await?;
        let gid = world.name("Group");
        ann.found(&gid, &mut [&mut ben, &mut barred]).await?;
        let drop = json!({"op": 6, "id": fresh(), "act": "drop", "gid": gid, "to": barred.alias});
        ann.link.edit(drop).await?;
        let invite = json!({"op": 5, "id": fresh(), "gid": gid, "from": ann.alias, "to": invited.alias});
        ann.link.store(invite, b"").await?;
        let mut cast = Self { gid, ann, device, ben, invited, barred, stranger };
        // What came of that is not what the case is about.
        for link in cast.links() {
            link.settle().await?;
        }
        Ok(cast)
    }

    fn links(&mut self) -> [&mut Link; 6] {
        [
            &mut self.ann.link,
            &mut self.device,
            &mut self.ben.link,
            &mut self.invited.link,
            &mut self.barred.link,
            &mut self.stranger.link,
        ]
    }
}

/// Who of the cast gets a message to these, in the order of [`Cast::links`].
fn reaches(what: &str, recipients: &'static [(&'static str, u8)], who: [bool; 6]) -> Case {
    case(9, what, move |world| async move {
        let mut cast = Cast::new(&world).await?;
        let list: Vec<Value> = recipients.iter().map(|(id, kind)| cast.element(id, *kind)).collect();
        cast.ann.link.store(json!({"op": 7, "id": fresh(), "for": list}), b"hello").await?;
        let expected = cast.ann.delivery();
        for (link, gets) in cast.links().into_iter().zip(who) {
            if gets {
                link.message(expected.clone(), b"hello").await?;
            }
            link.nothing().await?;
        }
        Ok(())
    })
}

pub(super) fn cases() -> Vec<Case> {
    let (y, n) = (true, false);
    let mut cases = vec![
        reaches("a message to nobody goes to the sender's other nodes", &[], [n, y, n, n, n, n]),
        reaches("type 1 reaches a user", &[("stranger", 1)], [n, y, n, n, n, y]),
        reaches(
            "type 1 with one's own uid brings the sending node a copy",
            &[("ann", 1)],
            [y, y, n, n, n, n],
        ),
        reaches("type 2 reaches joined members, the sender too", &[("group", 2)], [y, y, y, n, n, n]),
        reaches("type 3 reaches joined members but the sender", &[("group", 3)], [n, y, y, n, n, n]),
        reaches(
            "types 3 and 1 with one's own uid bring a copy",
            &[("group", 3), ("ann", 1)],
            [y, y, y, n, n, n],
        ),
        reaches(
            "a node gets one copy, however often its user is named",
            &[("group", 2), ("ben", 1), ("group", 3), ("ben", 1), ("ann", 1), ("group", 2)],
            [y, y, y, n, n, n],
        ),
        case(9, "who is offline gets a copy for each node", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            let node = ben.new_node().await?;
            ann.post(&ben.uid, b"hello").await?;
            ben.link.message(ann.delivery(), b"hello").await?;
            let mut device = world.login(&ben.uid, &node, ben.elsewhere()).await?;
            device.next_message().await?;
            device.message(ann.delivery(), b"hello").await.map(|_| ())
        }),
        case(9, "who is invited may write to a group, and gets nothing", |world| async move {
            let mut cast = Cast::new(&world).await?;
            for kind in [2, 3] {
                let list = json!([cast.element("group", kind)]);
                cast.invited.link.store(json!({"op": 7, "id": fresh(), "for": list}), b"hello").await?;
                let expected = cast.invited.delivery();
                cast.ann.link.message(expected.clone(), b"hello").await?;
                cast.ben.link.message(expected, b"hello").await?;
                cast.invited.link.nothing().await?;
            }
            Ok(())
        }),
    ];
    for who in ["barred", "stranger"] {
        cases.push(case(9, format!("who is a {who} one cannot write to a group"), move |world| async move {
            let mut cast = Cast::new(&world).await?;
            for kind in [2, 3] {
                let post = json!({"op": 7, "id": fresh(), "for": [cast.element("group", kind)]});
                let writer = if who == "barred" { &mut cast.barred } else { &mut cast.stranger };
                let text = format!("GroupGetUsers: iByUid {} not a member", writer.uid);
                writer.link.refused(post, b"hello", &text).await?;
            }
            cast.ben.link.nothing().await
        }));
    }
    cases.extend(refused());
    cases
}

impl Cast {
    fn element(&self, id: &str, kind: u8) -> Value {
        let id = match id {
            "ann" => &self.ann.uid,
            "ben" => &self.ben.uid,
            "stranger" => &self.stranger.uid,
            _ => &self.gid,
        };
        json!({"id": id, "type": kind})
    }
}

fn refused() -> Vec<Case> {
    const UNKNOWN: &str = "ZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZ";
    let lists: [(&str, Value, &str); 8] = [
        (
            "a uid that nobody has",
            json!([{"id": UNKNOWN, "type": 1}]),
            "OpenNodes: iUid ZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZ not found",
        ),
        ("a uid that is too short", json!([{"id": "abc", "type": 1}]), "OpenNodes: iUid abc not found"),
        ("a uid of odd characters", json!([{"id": "a/b", "type": 1}]), "fetchUser: invalid string 'a/b'"),
        (
            "an alias in place of a uid",
            json!([{"id": "Some Body", "type": 1}]),
            "fetchUser: invalid string 'Some Body'",
        ),
        (
            "a group that nobody made",
            json!([{"id": "no such group", "type": 2}]),
            "GroupGetUsers: iGid no such group not found",
        ),
        (
            "the same with type 3",
            json!([{"id": "no such group", "type": 3}]),
            "GroupGetUsers: iGid no such group not found",
        ),
        (
            "the first of two errors",
            json!([{"id": "no/body", "type": 1}, {"id": "no such group", "type": 2}]),
            "fetchUser: invalid string 'no/body'",
        ),
        (
            "the other way round",
            json!([{"id": "no such group", "type": 2}, {"id": "no/body", "type": 1}]),
            "GroupGetUsers: iGid no such group not found",
        ),
    ];
    let mut cases: Vec<Case> = lists
        .into_iter()
        .map(|(name, list, text)| {
            case(9, format!("a recipient is refused: {name}"), move |world| {
                let list = list.clone();
                async move {
                    let mut user = world.user().await?;
                    user.link.refused(json!({"op": 7, "id": fresh(), "for": list}), b"hello", text).await?;
                    user.link.nothing().await
                }
            })
        })
        .collect();
    cases.push(case(9, "a known recipient before an unknown one gets nothing", |world| async move {
        let [mut ann, mut ben] = world.users().await?;
        let list = json!([{"id": ben.uid, "type": 1}, {"id": "no such group", "type": 3}]);
        let text = "GroupGetUsers: iGid no such group not found";
        ann.link.refused(json!({"op": 7, "id": fresh(), "for": list}), b"hello", text).await?;
        ben.link.nothing().await
    }));
    cases
}
