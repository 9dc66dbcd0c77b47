//! Section 12: groups.
#![expect(clippy::too_many_lines, reason = "a list of cases, each of them short")]

use serde_json::{Value, json};

use super::{Case, case};
use crate::conform::link::{Result, fault, fresh, same};
use crate::conform::world::{User, World};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = inviting();
    cases.extend(joining());
    cases.extend(renaming());
    cases.extend(dropping());
    cases
}

fn invite(gid: &str, from: &str, to: &str) -> Value {
    json!({"op": 5, "id": fresh(), "gid": gid, "from": from, "to": to})
}

fn edit(act: &str, gid: &str) -> Value {
    json!({"op": 6, "id": fresh(), "act": act, "gid": gid})
}

fn drop(gid: &str, to: &str) -> Value {
    json!({"op": 6, "id": fresh(), "act": "drop", "gid": gid, "to": to})
}

fn rename(act: &str, gid: &str, newalias: &str) -> Value {
    json!({"op": 6, "id": fresh(), "act": act, "gid": gid, "newalias": newalias})
}

/// A `member` message.
fn member(from: &User, act: &str, gid: &str, alias: &str) -> Value {
    json!({"op": "member", "from": from.uid, "act": act, "gid": gid, "alias": alias})
}

/// An `invite` message.
fn invited(from: &User, gid: &str, to: &str) -> Value {
    json!({"op": "invite", "from": from.uid, "gid": gid, "alias": from.alias, "to": to})
}

/// Users of which the first has founded a group that the others have joined.
async fn group<const N: usize>(world: &World) -> Result<(String, [User; N])> {
    let mut users = world.users::<N>().await?;
    let gid = world.name("Group");
    if let [founder, others @ ..] = &mut users[..] {
        founder.found(&gid, &mut others.iter_mut().collect::<Vec<_>>()).await?;
    }
    Ok((gid, users))
}

/// A second alias for the user.
async fn second_alias(world: &World, user: &mut User) -> Result<String> {
    let alias = world.name("Second");
    user.link.edit(json!({"op": 3, "id": fresh(), "newalias": alias})).await?;
    user.link.message(json!({"op": "user", "from": user.uid, "newalias": alias}), b"").await?;
    Ok(alias)
}

fn inviting() -> Vec<Case> {
    vec![
        case(12, "an invitation to a new group makes it", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            let mut device = ann.device(&world).await?;
            let gid = world.name("Group");
            let mut request = invite(&gid, &ann.alias, &ben.alias);
            request["datahead"] = json!(2);
            request["datasum"] = json!(5);
            let sent = ann.link.store(request, b"{}come").await?;
            let mut expected = invited(&ann, &gid, &ben.alias);
            expected["datahead"] = json!(2);
            expected["datasum"] = json!(5);
            let got = ben.link.message(expected.clone(), b"{}come").await?;
            same("id and posted", (&got.id, &got.posted), (&sent.id, &sent.posted))?;
            device.message(expected, b"{}come").await?;
            let news = member(&ann, "invite", &gid, &ben.alias);
            let told = ann.link.message(news.clone(), b"").await?;
            if told.id <= got.id {
                return fault("the member message has no higher id than the invite");
            }
            device.message(news, b"").await?;
            ann.link.nothing().await?;
            ben.link.nothing().await
        }),
        case(12, "joined members are told of an invitation, and do not get it", |world| async move {
            let (gid, [mut ann, mut ben]) = group(&world).await?;
            let mut cleo = world.user().await?;
            ben.link.store(invite(&gid, &ben.alias, &cleo.alias), b"come").await?;
            cleo.link.message(invited(&ben, &gid, &cleo.alias), b"come").await?;
            let news = member(&ben, "invite", &gid, &cleo.alias);
            ann.link.message(news.clone(), b"").await?;
            ben.link.message(news, b"").await?;
            cleo.link.nothing().await
        }),
        case(12, "a gid of seven octets is refused, before anything else", |world| async move {
            let mut ann = world.user().await?;
            ann.link.refused(invite("seven77", "f", "t"), b"", "gid must be 8+ characters").await
        }),
        case(12, "a gid of four characters and eight octets is long enough", |world| async move {
            let [mut ann, ben] = world.users().await?;
            let text = format!("GroupInvite: iByAlias f not for iByUid {}", ann.uid);
            ann.link.refused(invite("äöüß", "f", &ben.alias), b"", &text).await
        }),
        case(12, "from has to be an alias of the sender", |world| async move {
            let [mut ann, ben] = world.users().await?;
            let text = format!("GroupInvite: iByAlias {} not for iByUid {}", ben.alias, ann.uid);
            ann.link.refused(invite(&world.name("Group"), &ben.alias, "nobody"), b"", &text).await
        }),
        case(12, "to has to be somebody's alias", |world| async move {
            let mut ann = world.user().await?;
            let to = world.name("Nobody");
            let text = format!("GroupInvite: iAlias {to} not found");
            ann.link.refused(invite(&ann.alias, &ann.alias, &to), b"", &text).await
        }),
        case(12, "a gid must not be an alias", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            let text = format!("GroupInvite: gid {} not available", ann.alias);
            ann.link.refused(invite(&ann.alias, &ann.alias, &ben.alias), b"", &text).await?;
            ben.link.nothing().await
        }),
        case(12, "a gid must be printable", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            let gid = format!("{}\u{200d}", world.name("Group"));
            let text = format!("GroupInvite: invalid string '{gid}'");
            ann.link.refused(invite(&gid, &ann.alias, &ben.alias), b"", &text).await?;
            ben.link.nothing().await
        }),
        case(12, "who is no member cannot invite", |world| async move {
            let (gid, [mut ann, mut ben]) = group(&world).await?;
            let [mut cleo, mut dan] = world.users().await?;
            let text = format!("GroupInvite: iByUid {} not a member", cleo.uid);
            cleo.link.refused(invite(&gid, &cleo.alias, &dan.alias), b"", &text).await?;
            for link in [&mut ann.link, &mut ben.link, &mut dan.link] {
                link.nothing().await?;
            }
            Ok(())
        }),
        case(12, "who is only invited cannot invite", |world| async move {
            let [mut ann, mut ben, cleo] = world.users().await?;
            let gid = world.name("Group");
            ann.link.store(invite(&gid, &ann.alias, &ben.alias), b"").await?;
            let text = format!("GroupInvite: iByUid {} not a member", ben.uid);
            ben.link.refused(invite(&gid, &ben.alias, &cleo.alias), b"", &text).await
        }),
        case(12, "who is joined cannot be invited", |world| async move {
            let (gid, [mut ann, ben]) = group(&world).await?;
            let text = format!("GroupInvite: iAlias {} already joined", ben.alias);
            ann.link.refused(invite(&gid, &ann.alias, &ben.alias), b"", &text).await
        }),
        case(12, "a second invitation is sent, and changes nothing", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            let second = second_alias(&world, &mut ben).await?;
            let gid = world.name("Group");
            for to in [&ben.alias, &second] {
                ann.link.store(invite(&gid, &ann.alias, to), b"come").await?;
                ben.link.message(invited(&ann, &gid, to), b"come").await?;
                ann.link.message(member(&ann, "invite", &gid, to), b"").await?;
            }
            ben.link.edit(edit("join", &gid)).await?;
            ann.link.message(member(&ben, "join", &gid, &ben.alias), b"").await.map(|_| ())
        }),
        case(12, "who founds a group by inviting itself is invited, and may join", |world| async move {
            let mut ann = world.user().await?;
            let gid = world.name("Group");
            ann.link.store(invite(&gid, &ann.alias, &ann.alias), b"come").await?;
            ann.link.message(invited(&ann, &gid, &ann.alias), b"come").await?;
            ann.link.settle().await?;
            ann.link.edit(edit("join", &gid)).await?;
            ann.link.message(member(&ann, "join", &gid, &ann.alias), b"").await.map(|_| ())
        }),
        case(12, "of two who found one group at the same moment one does", |world| async move {
            let [mut ann, mut ben, cleo] = world.users().await?;
            let gid = world.name("Group");
            ann.link.send(invite(&gid, &ann.alias, &cleo.alias), b"").await;
            ben.link.send(invite(&gid, &ben.alias, &cleo.alias), b"").await;
            let acks = [ann.link.next_ack().await?, ben.link.next_ack().await?];
            let refused: Vec<_> = acks.iter().filter_map(|ack| ack["error"].as_str()).collect();
            let late = [&ann, &ben].map(|user| format!("GroupInvite: iByUid {} not a member", user.uid));
            match refused[..] {
                [text] if late.iter().any(|late| late == text) => Ok(()),
                _ => fault(format!("expected one refusal, got {refused:?}")),
            }
        }),
    ]
}

fn joining() -> Vec<Case> {
    vec![
        case(12, "a join is told to all joined members, the new one included", |world| async move {
            let (gid, [mut ann, mut ben]) = group(&world).await?;
            let mut cleo = world.user().await?;
            let mut device = cleo.device(&world).await?;
            ann.link.store(invite(&gid, &ann.alias, &cleo.alias), b"").await?;
            for link in [&mut ann.link, &mut ben.link, &mut cleo.link, &mut device] {
                link.next_message().await?;
            }
            cleo.link.edit(edit("join", &gid)).await?;
            let news = member(&cleo, "join", &gid, &cleo.alias);
            for link in [&mut ann.link, &mut ben.link, &mut cleo.link, &mut device] {
                link.message(news.clone(), b"").await?;
                link.nothing().await?;
            }
            Ok(())
        }),
        case(12, "one may join under another alias of one's own", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            let second = second_alias(&world, &mut ben).await?;
            let gid = world.name("Group");
            ann.link.store(invite(&gid, &ann.alias, &ben.alias), b"").await?;
            ann.link.next_message().await?;
            ben.link.edit(rename("join", &gid, &second)).await?;
            ann.link.message(member(&ben, "join", &gid, &second), b"").await.map(|_| ())
        }),
        case(12, "one may not join under another's alias", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            let gid = world.name("Group");
            ann.link.store(invite(&gid, &ann.alias, &ben.alias), b"").await?;
            let text = format!("GroupJoin: iNewAlias {} not for iUid {}", ann.alias, ben.uid);
            ben.link.refused(rename("join", &gid, &ann.alias), b"", &text).await
        }),
        case(12, "one cannot join a group that does not exist", |world| async move {
            let mut ann = world.user().await?;
            ann.link.refused(edit("join", "no group"), b"", "GroupJoin: iGid no group not found").await
        }),
        case(12, "one cannot join without an invitation", |world| async move {
            let (gid, [mut ann, _ben]) = group(&world).await?;
            let mut cleo = world.user().await?;
            let text = format!("GroupJoin: iUid {} not invited", cleo.uid);
            cleo.link.refused(rename("join", &gid, "nobody"), b"", &text).await?;
            ann.link.nothing().await
        }),
        case(12, "to join again without another alias is a success", |world| async move {
            let (gid, [_ann, mut ben]) = group(&world).await?;
            ben.link.edit(edit("join", &gid)).await?;
            ben.link.edit(rename("join", &gid, &ben.alias)).await
        }),
    ]
}

fn renaming() -> Vec<Case> {
    vec![
        case(12, "a change of alias tells the old and the new one", |world| async move {
            let (gid, [mut ann, mut ben]) = group(&world).await?;
            let second = second_alias(&world, &mut ben).await?;
            ben.link.edit(rename("alias", &gid, &second)).await?;
            let mut news = member(&ben, "alias", &gid, &ben.alias);
            news["newalias"] = json!(second);
            ann.link.message(news.clone(), b"").await?;
            ben.link.message(news, b"").await.map(|_| ())
        }),
        case(12, "in an unknown group nobody changes an alias", |world| async move {
            let mut ann = world.user().await?;
            let alias = ann.alias.clone();
            ann.link
                .refused(rename("alias", "no group", &alias), b"", "GroupAlias: iGid no group not found")
                .await
        }),
        case(12, "who is no member cannot change an alias", |world| async move {
            let (gid, [_ann, _ben]) = group(&world).await?;
            let mut cleo = world.user().await?;
            let text = format!("GroupAlias: iUid {} not a member", cleo.uid);
            cleo.link.refused(rename("alias", &gid, "nobody"), b"", &text).await
        }),
        case(12, "one cannot take another's alias in a group", |world| async move {
            let (gid, [ann, mut ben]) = group(&world).await?;
            let text = format!("GroupAlias: iNewAlias {} not for iUid {}", ann.alias, ben.uid);
            ben.link.refused(rename("alias", &gid, &ann.alias), b"", &text).await
        }),
        case(12, "to take the alias that one has is a success", |world| async move {
            let (gid, [_ann, mut ben]) = group(&world).await?;
            ben.link.edit(rename("alias", &gid, &ben.alias)).await
        }),
    ]
}

fn dropping() -> Vec<Case> {
    vec![
        case(12, "who leaves is told of it, and may come back", |world| async move {
            let (gid, [mut ann, mut ben]) = group(&world).await?;
            ben.link.edit(drop(&gid, &ben.alias)).await?;
            let news = member(&ben, "drop", &gid, &ben.alias);
            ann.link.message(news.clone(), b"").await?;
            ben.link.message(news, b"").await?;
            let post = json!({"op": 7, "id": fresh(), "for": [{"id": gid, "type": 3}]});
            ann.link.store(post, b"among us").await?;
            ben.link.nothing().await?;
            ben.link.edit(edit("join", &gid)).await?;
            ann.link.message(member(&ben, "join", &gid, &ben.alias), b"").await.map(|_| ())
        }),
        case(12, "who is dropped is told of it, and cannot come back", |world| async move {
            let (gid, [mut ann, mut ben]) = group(&world).await?;
            ann.link.edit(drop(&gid, &ben.alias)).await?;
            let news = member(&ann, "drop", &gid, &ben.alias);
            ann.link.message(news.clone(), b"").await?;
            ben.link.message(news, b"").await?;
            let text = format!("GroupJoin: iUid {} not invited", ben.uid);
            ben.link.refused(edit("join", &gid), b"", &text).await?;
            ann.link.nothing().await
        }),
        case(12, "a member may drop the founder", |world| async move {
            let (gid, [mut ann, mut ben]) = group(&world).await?;
            ben.link.edit(drop(&gid, &ann.alias)).await?;
            ann.link.message(member(&ben, "drop", &gid, &ann.alias), b"").await?;
            let text = format!("GroupInvite: iByUid {} not a member", ann.uid);
            ann.link.refused(invite(&gid, &ann.alias, &ann.alias), b"", &text).await
        }),
        case(12, "who was dropped may come back when invited again", |world| async move {
            let (gid, [mut ann, mut ben]) = group(&world).await?;
            ann.link.edit(drop(&gid, &ben.alias)).await?;
            ann.link.store(invite(&gid, &ann.alias, &ben.alias), b"sorry").await?;
            ben.link.message(member(&ann, "drop", &gid, &ben.alias), b"").await?;
            ben.link.message(invited(&ann, &gid, &ben.alias), b"sorry").await?;
            ben.link.edit(edit("join", &gid)).await
        }),
        case(12, "an invitation can be taken back, and can be declined", |world| async move {
            let [mut ann, mut ben, mut cleo] = world.users().await?;
            let gid = world.name("Group");
            for other in [&mut ben, &mut cleo] {
                ann.link.store(invite(&gid, &ann.alias, &other.alias), b"").await?;
                other.link.message(invited(&ann, &gid, &other.alias), b"").await?;
            }
            ann.link.edit(drop(&gid, &ben.alias)).await?;
            ben.link.message(member(&ann, "drop", &gid, &ben.alias), b"").await?;
            let text = format!("GroupJoin: iUid {} not invited", ben.uid);
            ben.link.refused(edit("join", &gid), b"", &text).await?;
            cleo.link.edit(drop(&gid, &cleo.alias)).await?;
            cleo.link.message(member(&cleo, "drop", &gid, &cleo.alias), b"").await?;
            cleo.link.edit(edit("join", &gid)).await
        }),
        case(12, "nobody is dropped from a group that does not exist", |world| async move {
            let mut ann = world.user().await?;
            let alias = ann.alias.clone();
            ann.link.refused(drop("no group", &alias), b"", "GroupQuit: iGid no group not found").await
        }),
        case(12, "only an alias that is recorded in the group can be dropped", |world| async move {
            let (gid, [mut ann, mut ben]) = group(&world).await?;
            let second = second_alias(&world, &mut ben).await?;
            let stranger = world.user().await?;
            for to in [second.as_str(), &stranger.alias, "nobody at all", &ben.uid] {
                let text = format!("GroupQuit: iAlias {to} not a member");
                ann.link.refused(drop(&gid, to), b"", &text).await?;
            }
            ben.link.edit(rename("alias", &gid, &second)).await?;
            let text = format!("GroupQuit: iAlias {} not a member", ben.alias);
            ann.link.refused(drop(&gid, &ben.alias), b"", &text).await?;
            ann.link.edit(drop(&gid, &second)).await
        }),
        case(12, "who is not joined cannot drop others", |world| async move {
            let (gid, [mut ann, ben]) = group(&world).await?;
            let mut cleo = world.user().await?;
            let text = format!("GroupQuit: iByUid {} not a member", cleo.uid);
            cleo.link.refused(drop(&gid, &ben.alias), b"", &text).await?;
            ann.link.store(invite(&gid, &ann.alias, &cleo.alias), b"").await?;
            cleo.link.refused(drop(&gid, &ben.alias), b"", &text).await
        }),
        case(12, "to drop who is barred is a success", |world| async move {
            let (gid, [mut ann, ben]) = group(&world).await?;
            for _ in 0..2 {
                ann.link.edit(drop(&gid, &ben.alias)).await?;
            }
            Ok(())
        }),
        case(12, "who is barred stays so when it drops itself", |world| async move {
            let (gid, [mut ann, mut ben]) = group(&world).await?;
            ann.link.edit(drop(&gid, &ben.alias)).await?;
            let text = format!("GroupQuit: iByUid {} not a member", ben.uid);
            ben.link.refused(drop(&gid, &ben.alias), b"", &text).await?;
            let text = format!("GroupJoin: iUid {} not invited", ben.uid);
            ben.link.refused(edit("join", &gid), b"", &text).await
        })
        .differs(),
        case(12, "GroupEdit with act invite ends the link", |world| async move {
            let (gid, [mut ann, ben]) = group(&world).await?;
            let request =
                json!({"op": 6, "id": fresh(), "act": "invite", "gid": gid, "from": ann.alias, "to": ben.alias});
            ann.link.send(request, b"").await;
            ann.link.quits("invalid header").await
        })
        .differs(),
    ]
}
