//! What a site asks of those who register: a sign-in, an invite, patience.

use tmtp_contract::Credentials;
use tmtp_domain::{Identity, InviteCode, Provider};

use super::opening::GREETING;
use super::*;

/// A session at a site in this mode, which may have a provider of its own.
fn rig(mode: Registration, providers: Vec<Provider>) -> Rig {
    let mut rig = Rig::new();
    rig.session.site = Arc::new(Site { registration: mode, providers, ..(*site()).clone() });
    rig.send(r#"{"Id":"1","Op":0}"#);
    rig
}

fn corp() -> Provider {
    let own = Provider::invitation(SiteId(Uuid::nil()), "Corp", "https://id.example");
    Provider { id: "corp".into(), label: "Corp".into(), kind: tmtp_domain::ProviderKind::Foreign, ..own }
}

fn identity() -> Identity {
    Identity {
        provider: "corp".into(),
        issuer: "https://id.example".into(),
        subject: "ann".into(),
        audience: "client".into(),
        expires_at: 1,
        token_digest: [1; 32],
        alias: None,
        invite: None,
    }
}

const WITH_TOKEN: &str = r#"{"NewAlias":"_","NewNode":"x","Oidc":{"id_token":"h.c.s"},"Op":1}"#;
const WITH_CODE: &str = r#"{"Invite":"7k4m q2xd 9tra","NewAlias":"_","NewNode":"x","Op":1}"#;
const PLAIN: &str = r#"{"NewAlias":"_","NewNode":"x","Op":1}"#;

fn credentials(rig: &mut Rig) -> Option<Credentials> {
    match rig.commands().pop() {
        Some((1, Command::Register { credentials, .. })) => credentials.map(|credentials| *credentials),
        other => panic!("{other:?}"),
    }
}

/// Goal: clients are told where to sign in exactly where they can, always with two texts each; method: each mode, with and
/// without a provider.
#[test]
fn what_clients_are_told() {
    let id = site().id;
    let invitation = format!(
        r#"{{"label":"Example invitation","login":["https://join.example/{id}/authorize","response_type=code\u0026scope=openid\u0026code_challenge_method=S256\u0026client_id={id}"],"token":["https://join.example/{id}/token","grant_type=authorization_code\u0026client_id={id}"]}}"#
    );
    let told = |mode, providers| rig(mode, providers).frames().remove(0);
    let plain = GREETING.to_owned();
    assert_eq!(told(Registration::Open, Vec::new()), plain);
    assert_eq!(told(Registration::Closed, vec![corp()]), plain);
    let only = format!(r#"{{"auth":1,"authby":[{invitation}],"#);
    assert!(
        told(Registration::Invite, vec![corp()]).starts_with(&only),
        "{}",
        told(Registration::Invite, vec![])
    );
    for mode in [Registration::Open, Registration::Oidc] {
        let both = told(mode, vec![corp()]);
        assert!(both.starts_with(r#"{"auth":1,"authby":[{"label":"Corp","#), "{both}");
        assert!(both.contains(&format!(",{invitation}]")), "{both}");
    }
}

/// Goal: a sign-in is checked before anything is published, nothing is read meanwhile, and what it says goes along; a
/// refused one ends the link with the protocol's text. Method: both outcomes.
#[test]
fn a_sign_in_is_checked() {
    for identity in [Some(identity()), None] {
        let mut rig = rig(Registration::Oidc, vec![corp()]);
        rig.frames();
        rig.send(WITH_TOKEN);
        assert!(!rig.wants_input() && rig.published().is_empty());
        let (_, token) = rig.session.take_sign_in().unwrap();
        assert_eq!(token, "h.c.s");
        assert!(rig.session.take_sign_in().is_none(), "once");
        rig.turn(|session, turn| session.signed_in(turn, identity.clone()));
        if identity.is_some() {
            assert_eq!(credentials(&mut rig), Some(Credentials { identity, ..Credentials::default() }));
        } else {
            assert!(rig.published().is_empty());
            assert_eq!(rig.frames(), quit("authentication required"));
            assert_eq!(rig.exit(), Some(Exit::Clean));
        }
    }
}

/// Goal: a check that takes too long ends with the login's time, and its late outcome does nothing; method: wait.
#[test]
fn a_check_that_takes_too_long() {
    let mut rig = rig(Registration::Oidc, vec![corp()]);
    rig.send(WITH_TOKEN);
    assert!(rig.session.take_sign_in().is_some());
    rig.wait(5);
    assert_eq!(rig.exit(), Some(Exit::Clean));
    rig.turn(|session, turn| session.signed_in(turn, Some(identity())));
    assert!(rig.published().is_empty());
}

/// Goal: where a sign-in is asked for, nobody comes in without; where none is, one that comes along is passed over; a code
/// does instead. Method: each of them.
#[test]
fn with_and_without() {
    for mode in [Registration::Invite, Registration::Oidc] {
        let mut rig = rig(mode, Vec::new());
        rig.frames();
        rig.send(PLAIN);
        assert_eq!(rig.frames(), quit("authentication required"), "{mode:?}");
    }
    let mut open = rig(Registration::Open, Vec::new());
    open.send(WITH_TOKEN);
    assert_eq!(credentials(&mut open), None);

    let mut with_code = rig(Registration::Invite, Vec::new());
    let from = Some(std::net::Ipv4Addr::new(192, 0, 2, 7).into());
    with_code.session.from = from;
    with_code.send(WITH_CODE);
    let code = InviteCode::parse("7K4M-Q2XD-9TRA").unwrap().hash(site().id);
    assert_eq!(credentials(&mut with_code), Some(Credentials { identity: None, code: Some(code), from }));

    let mut wrong = rig(Registration::Invite, Vec::new());
    wrong.frames();
    wrong.send(r#"{"Invite":"no code","NewAlias":"_","NewNode":"x","Op":1}"#);
    assert_eq!(wrong.frames(), quit("this invitation is not valid, or no longer"));
}

/// Goal: who has to wait for approval gets the account, is told to wait, and goes; method: the home says so.
#[test]
fn waiting_for_approval() {
    let mut rig = rig(Registration::Approval, Vec::new());
    rig.frames();
    rig.send(PLAIN);
    rig.commands();
    rig.answer(1, Answer::Waiting { alias_error: None });
    let mut frames = rig.frames();
    assert!(frames.remove(0).contains(r#""op":"registered""#));
    assert_eq!(frames, quit("registered; an admin has to approve before you can log in"));
    assert_eq!(rig.exit(), Some(Exit::Clean));
    assert!(rig.published().is_empty(), "the home holds no session");
}
