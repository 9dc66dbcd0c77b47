//! Who is let in, as what, and what it leaves behind: modes of registration, invites, and sign-ins.

use std::net::{IpAddr, Ipv4Addr};

use tmtp_contract::{Answer, Command, Content, Credentials, LoginRefusal};
use tmtp_domain::{
    Group, GroupAct, GroupStatus, Identity, Invite, InviteId, InviteRef, InviteUse, MemberStatus, Membership,
    NameHolder, Registration, Uid,
};
use tmtp_store::{Change, Joining};
use uuid::Uuid;

use crate::rig::{ANN, G1, HERE, Rig, THERE, Told, login, new_alias, register};

const CODE: [u8; 32] = [7; 32];
const FROM: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

fn id() -> InviteId {
    InviteId(Uuid::from_u128(70))
}

fn invite(uses_allowed: i32) -> Invite {
    let usage = InviteUse {
        id: id(),
        uses_allowed,
        uses_pending: 0,
        uses_completed: 0,
        expires_at: None,
        revoked_at: None,
    };
    Invite { usage, alias: None, groups: Vec::new(), requires_approval: false }
}

/// A site in this mode, with an invite that is known by its id and by its code.
fn rig(mode: Registration, invite: &Invite) -> Rig {
    let mut rig = Rig::new();
    rig.sites.get_mut(&HERE).unwrap().registration = mode;
    for by in [InviteRef::Id(id()), InviteRef::Code(CODE)] {
        rig.facts.invites.insert((HERE, by), invite.clone());
    }
    rig
}

fn signed_in(subject: &str, invite: Option<InviteId>) -> Identity {
    Identity {
        provider: "corp".into(),
        issuer: "https://id.example".into(),
        subject: subject.into(),
        audience: "client".into(),
        expires_at: 1_790_000_600,
        token_digest: [subject.as_bytes()[0]; 32],
        alias: None,
        invite,
    }
}

fn with(uid: Uid, alias: Option<&str>, credentials: Credentials) -> Command {
    let mut command = register(uid, alias);
    if let Command::Register { credentials: with, .. } = &mut command {
        *with = Some(Box::new(credentials));
    }
    command
}

fn by_code(uid: Uid, alias: Option<&str>) -> Command {
    with(uid, alias, Credentials { code: Some(CODE), ..Credentials::default() })
}

fn by_identity(uid: Uid, identity: &Identity) -> Command {
    with(uid, None, Credentials { identity: Some(identity.clone()), ..Credentials::default() })
}

fn new(n: u8) -> Uid {
    Uid([n; 20])
}

/// Registers, each time over a connection of its own.
fn try_in(rig: &mut Rig, n: u64, command: Command) -> Told {
    rig.run((G1, n), command)
}

fn is_in(told: &Told) -> bool {
    matches!(told.answer(), Answer::Registered { alias_error: None, .. })
}

fn joined(rig: &Rig) -> Vec<Joining> {
    let changes = rig.commits.iter().flat_map(|commit| &commit.changes);
    changes
        .filter_map(
            |change| if let Change::Joined(joining) = change { Some((**joining).clone()) } else { None },
        )
        .collect()
}

/// Goal: an invite lets in as many as it is for, whichever way it is named, and each is noted with it; method: two uses by
/// id and by code, then a third, and one of them repeated.
#[test]
fn an_invite_is_used_up() {
    let mut rig = rig(Registration::Invite, &invite(2));
    let identity = signed_in("a", Some(id()));
    assert!(is_in(&try_in(&mut rig, 1, by_code(new(8), None))));
    assert!(is_in(&try_in(&mut rig, 2, by_identity(new(9), &identity))));
    let third = try_in(&mut rig, 3, by_code(new(10), None));
    assert_eq!(third.not_logged_in(), LoginRefusal::Invite);
    // Its gateway has not heard the answer.
    assert!(is_in(&try_in(&mut rig, 4, by_code(new(8), None))));
    let expected = [
        Joining { site: HERE, uid: new(8), invite: Some((id(), false)), identity: None, from: None },
        Joining {
            site: HERE,
            uid: new(9),
            invite: Some((id(), false)),
            identity: Some(identity),
            from: None,
        },
    ];
    assert_eq!(joined(&rig), expected);
    assert_eq!(rig.home.sessions(), 3, "the two, and the repetition over another link");
}

/// Goal: an invite is good at its own site only; method: the same code at another one.
#[test]
fn an_invite_is_of_its_site() {
    let mut rig = rig(Registration::Invite, &invite(1));
    rig.sites.get_mut(&THERE).unwrap().registration = Registration::Invite;
    let told = rig.run_in(THERE, (G1, 1), by_code(new(8), None));
    assert_eq!(told.not_logged_in(), LoginRefusal::Invite);
    assert!(is_in(&try_in(&mut rig, 2, by_code(new(8), None))));
}

/// Goal: a token is taken once, and a person becomes one member; method: the token again, another token of the same
/// person, and another person.
#[test]
fn a_sign_in_is_used_once() {
    let mut rig = rig(Registration::Oidc, &invite(1));
    let ann = signed_in("ann", None);
    assert!(is_in(&try_in(&mut rig, 1, by_identity(new(8), &ann))));
    let again = try_in(&mut rig, 2, by_identity(new(9), &ann));
    assert_eq!(again.not_logged_in(), LoginRefusal::RegistrationClosed);
    let newer = Identity { token_digest: [9; 32], ..ann };
    let other_token = try_in(&mut rig, 3, by_identity(new(9), &newer));
    assert_eq!(other_token.not_logged_in(), LoginRefusal::AlreadyMember);
    assert!(is_in(&try_in(&mut rig, 4, by_identity(new(9), &signed_in("ben", None)))));
    let nothing = try_in(&mut rig, 5, register(new(10), None));
    assert_eq!(nothing.not_logged_in(), LoginRefusal::RegistrationClosed);
    assert_eq!(joined(&rig).len(), 2);
}

/// Goal: whoever needs approval exists and cannot log in; method: the mode, and an invite that asks for it; then the
/// registration again, and a login.
#[test]
fn approval_is_waited_for() {
    let asking = Invite { requires_approval: true, ..invite(2) };
    for (mode, command) in
        [(Registration::Approval, register(new(8), None)), (Registration::Open, by_code(new(8), None))]
    {
        let mut rig = rig(mode, &asking);
        for n in 1..=2 {
            let told = try_in(&mut rig, n, command.clone());
            assert_eq!(told.answer(), &Answer::Waiting { alias_error: None }, "{mode:?}");
        }
        let changes: Vec<&Change> = rig.commits.iter().flat_map(|commit| &commit.changes).collect();
        let pending = Change::MemberStatus { site: HERE, uid: new(8), status: MemberStatus::Pending };
        assert_eq!(changes.iter().filter(|change| ***change == pending).count(), 1);
        assert_eq!(rig.run((G1, 3), login(new(8), 1)).not_logged_in(), LoginRefusal::Failed);
        assert_eq!(rig.home.sessions(), 0);
    }
    // At a site that asks everybody to wait, an invite lets in.
    let mut rig = rig(Registration::Approval, &invite(1));
    assert!(is_in(&try_in(&mut rig, 1, by_code(new(8), None))));
}

/// Goal: the alias is the invite's, or the sign-in's, whatever the client asks for; method: both, at a site whose policy
/// would not have the invite's.
#[test]
fn the_alias_is_given() {
    let mut rig = rig(Registration::Oidc, &Invite { alias: Some("Ann of Acme".into()), ..invite(1) });
    rig.sites.get_mut(&HERE).unwrap().policy.names.reserved = vec!["Ann of Acme".to_owned()];
    assert!(is_in(&try_in(&mut rig, 1, by_code(new(8), Some("Somebody else")))));
    let named = Identity { alias: Some("Ben of Acme".into()), ..signed_in("ben", None) };
    assert!(is_in(&try_in(&mut rig, 2, by_identity(new(9), &named))));
    let holder = |name: &str| rig.facts.names.get(&(HERE, name.to_owned())).copied();
    assert_eq!(holder("Ann of Acme"), Some(NameHolder::Member(new(8))));
    assert_eq!(holder("Ben of Acme"), Some(NameHolder::Member(new(9))));
    assert_eq!(holder("Somebody else"), None);
}

/// Goal: an alias that a sign-in brings is its person's choice, and refused as such in words that say whose it is, while
/// the person is a member without alias; an admin's choice for an invite is not held against the policy. Method: a short
/// alias, a reserved one, one that looks like another's, one that is taken, and one that is fine; then the same of an invite.
#[test]
fn a_claimed_alias_obeys_the_policy() {
    let imitated = "Ann Be1l";
    let mut rig = rig(Registration::Oidc, &Invite { alias: Some(imitated.into()), ..invite(1) });
    let names = &mut rig.sites.get_mut(&HERE).unwrap().policy.names;
    (names.characters_min, names.lookalikes) = (8, false);
    names.reserved = vec!["Help Desk".to_owned()];
    rig.log_in((G1, 1), ANN, 1);
    rig.run((G1, 1), new_alias(1, "Ann Bell"));
    for (subject, n, alias, why) in [
        ("a", 8, "Léo Éé", "site policy: names have 8+ characters"),
        ("b", 9, "He1p Desk", "site policy: name He1p Desk is reserved"),
        ("c", 10, imitated, "site policy: name Ann Be1l looks like a name in use"),
        ("d", 11, "Ann Bell", "AddAlias: alias Ann Bell already taken"),
    ] {
        let claimed = Identity { alias: Some(alias.into()), ..signed_in(subject, None) };
        let told = try_in(&mut rig, 10 + u64::from(n), by_identity(new(n), &claimed));
        let Answer::Registered { alias_error: Some(text), .. } = told.answer() else {
            panic!("{:?}", told.answer())
        };
        assert_eq!(*text, format!("alias {alias} of your sign-in is not taken: {why}"));
    }
    let fine = Identity { alias: Some("Ben Bell".into()), ..signed_in("fine", None) };
    assert!(is_in(&try_in(&mut rig, 2, by_identity(new(12), &fine))));
    assert!(is_in(&try_in(&mut rig, 3, by_code(new(13), None))));
    let holder = |name: &str| rig.facts.names.get(&(HERE, name.to_owned())).copied();
    assert_eq!(holder("He1p Desk"), None);
    assert_eq!(holder("Ben Bell"), Some(NameHolder::Member(new(12))));
    assert_eq!(holder(imitated), Some(NameHolder::Member(new(13))), "an admin's choice");
}

/// Goal: who joins is in the invite's groups at once, and all of their members hear of it by the ordinary message; one
/// without an alias is asked for one, and uses nothing up. Method: a group that exists and one that does not.
#[test]
fn groups_of_an_invite() {
    let groups = vec!["The group".to_owned(), "Another group".to_owned()];
    let mut rig = rig(Registration::Invite, &Invite { groups, ..invite(1) });
    rig.log_in((G1, 1), ANN, 1);
    rig.run((G1, 1), new_alias(1, "Ann Bell"));
    let mut group = Group::default();
    group.set(ANN, Membership { status: GroupStatus::Joined, alias: "Ann Bell".into() });
    rig.home.learn_group(HERE, "The group".into(), group);
    rig.facts.names.insert((HERE, "The group".into()), NameHolder::Group);

    for alias in [None, Some("short"), Some("Ann Bell")] {
        let told = try_in(&mut rig, 2, by_code(new(8), alias));
        assert_eq!(told.not_logged_in(), LoginRefusal::Alias, "{alias:?}");
    }
    assert!(joined(&rig).is_empty());
    let told = try_in(&mut rig, 3, by_code(new(8), Some("New Name")));
    assert!(is_in(&told));
    let news = |gid: &str| Content::Member {
        act: GroupAct::Join,
        gid: gid.into(),
        alias: "New Name".into(),
        new_alias: None,
    };
    assert_eq!(told.contents((G1, 1)), [news("The group")]);
    assert_eq!(told.contents((G1, 3)), [news("The group"), news("Another group")]);
}

/// Goal: guessing comes to an end, for good codes, too, and is noted; other ways in stay open. Method: more wrong codes
/// than may be, then the good one, then a minute later.
#[test]
fn guesses_are_limited() {
    let mut rig = rig(Registration::Invite, &invite(1));
    let wrong = |n: u8| {
        with(new(n), None, Credentials { code: Some([n; 32]), from: Some(FROM), ..Credentials::default() })
    };
    for n in 0..=600_u64 {
        let told = try_in(&mut rig, n + 10, wrong(u8::try_from(n % 5).unwrap() + 100));
        assert_eq!(told.not_logged_in(), LoginRefusal::Invite);
    }
    let guesses = |rig: &Rig| {
        let changes = rig.commits.iter().flat_map(|commit| &commit.changes);
        let guessed = |change: &&Change| matches!(change, Change::CodeGuessed { site: HERE, from: Some(from) } if *from == FROM);
        changes.filter(guessed).count()
    };
    assert_eq!(guesses(&rig), 601);
    assert_eq!(try_in(&mut rig, 1, by_code(new(8), None)).not_logged_in(), LoginRefusal::Invite);
    assert_eq!(guesses(&rig), 601, "it was not looked at");
    assert!(is_in(&try_in(&mut rig, 2, by_identity(new(9), &signed_in("b", Some(id()))))));
    rig.now.nanos += 61_000_000_000;
    let told = try_in(&mut rig, 3, by_code(new(8), None));
    assert_eq!(told.not_logged_in(), LoginRefusal::Invite, "used up meanwhile");
    assert_eq!(rig.run((G1, 4), login(new(9), 1)).not_logged_in(), LoginRefusal::AlreadyConnected);
}
