//! How people join a site that does not take everybody: with an invitation, with a sign-in elsewhere, after approval.

mod browser;
mod person;
mod picture;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tmtp_client::Account;
use tmtp_domain::{InviteCode, InviteId, Registration, SiteId, Uid};
use tmtp_e2e::{Cluster, End, Gateway, Link, Setup, WAIT, end_of};
use tmtp_store::{MemberFilter, NewInvite, Sights};
use tmtp_testkit::oidc::{Pair, Provider};
use tmtp_testkit::{eventually, free_port};
use tmtp_wire::{DataInfo, Oidc, Recipient, Request, Response};
use uuid::Uuid;

use browser::Browser;
use person::{SignIn, register};

use crate::administration::bootstrap;

/// A cluster with pages for invited people.
async fn cluster() -> Result<(Cluster, String)> {
    let port = free_port();
    let url = format!("http://localhost:{port}");
    let cluster = Setup::new()
        .with_admin()
        .admin_setting("public.address", &format!("127.0.0.1:{port}"))
        .admin_setting("public.url", &url)
        .admin_setting("oidc.reach", "anywhere")
        .gateway_setting("sign_in.public_url", &url)
        .gateway_setting("sign_in.private_providers", "true")
        .start()
        .await?;
    Ok((cluster, url))
}

/// A site in this mode, served by all gateways.
async fn site(cluster: &Cluster, domain: &str, mode: Registration) -> Result<SiteId> {
    cluster.add_site("Acme", &[domain], mode).await?;
    Ok(cluster.store.site_by_domain(domain).await?.context("the site")?.id)
}

/// Makes an invite as the API does, and tells its code.
async fn invite(
    cluster: &Cluster,
    site: SiteId,
    number: u64,
    change: impl FnOnce(&mut NewInvite),
) -> Result<(InviteId, InviteCode)> {
    let code = InviteCode::from_random(number);
    let mut invite = NewInvite::for_one(InviteId(Uuid::new_v4()), code.hash(site));
    change(&mut invite);
    let id = invite.id;
    let mut tx = cluster.store.admin().await?;
    tx.create_invites(site, None, &[invite]).await?;
    tx.commit().await?;
    Ok((id, code))
}

async fn join(gateway: &Gateway<'_>, who: &str, request: &Request) -> Result<Link> {
    let (client, account) = gateway.try_join(request).await.with_context(|| format!("{who} registers"))?;
    ensure!(account.alias_error.is_none(), "{who}: {:?}", account.alias_error);
    Ok(Link::new(who, account, client))
}

/// How a registration ends that is refused.
async fn refusal(gateway: &Gateway<'_>, request: &Request) -> Result<String> {
    let mut client = gateway.dial().await?;
    client.send(&Request::TmtpRev { id: "1".into() }, &[]).await?;
    client.next().await?;
    client.send(request, &[]).await?;
    match end_of(&mut client).await? {
        End::Quit(text) => Ok(text),
        other => anyhow::bail!("the registration ends with {other:?}"),
    }
}

/// Goal: an invited person joins with the ordinary client: the link, the sign-in, a mistyped code, the right one, back to
/// the client, which gets a token, registers, has the invite's alias, is in its group, and exchanges messages over the
/// other gateway. The invite is used up by that and not by being looked at; the token is good once. Method: a real
/// browser, and a client that does what the real one does.
#[tokio::test]
async fn an_invited_person_joins() -> Result<()> {
    let (cluster, url) = cluster().await?;
    let acme = site(&cluster, "acme.test", Registration::Invite).await?;
    let one = cluster.gateway(0).at("acme.test");
    let other = cluster.gateway(1).at("acme.test");
    let (ann_invite, ann_code) = invite(&cluster, acme, 1, |invite| {
        invite.alias = Some("Ann of Acme".into());
        invite.groups = vec!["Everybody".into()];
        invite.external_id = Some("employee 7".into());
    })
    .await?;
    let (_, ben_code) = invite(&cluster, acme, 2, |invite| invite.groups = vec!["Everybody".into()]).await?;
    // Ben has a newer client, which takes the code itself.
    let newer = Request::Register {
        new_node: "phone".into(),
        new_alias: "Ben of Acme".into(),
        oidc: None,
        invite: Some(ben_code.reveal().to_lowercase()),
    };
    let mut ben = join(&other, "ben", &newer).await?;
    ben.message().await?;
    assert_eq!(refusal(&other, &newer).await?, "this invitation is not valid, or no longer");
    assert_eq!(refusal(&other, &register("_", None)).await?, "authentication required");

    let browser = Browser::start().await?;
    browser.open(&format!("{url}/acme.test/i/{}", ann_code.reveal())).await?;
    let page = browser.text().await?;
    for text in ["Join Acme", "Ann of Acme", "+acme.test:443", "Acme invitation", &ann_code.reveal()] {
        assert!(page.contains(text), "the page lacks {text:?}: {page}");
    }
    browser.picture("invitation").await?;
    let sign_in = SignIn::begin(&one, "Acme invitation").await?;
    browser.open(&sign_in.address).await?;
    assert_eq!(browser.code().await?, ann_code.reveal(), "the browser remembers the code");
    browser.picture("code").await?;
    browser.submit("7K4M-Q2XD-9TRA").await?;
    let page = browser.text().await?;
    assert!(page.contains("Code of your invitation"), "the page after a wrong code: {page}");
    browser.picture("wrong-code").await?;
    // The button's click ends when the client has answered the browser that comes back to it.
    let code = ann_code.reveal();
    let (token, ()) = tokio::try_join!(sign_in.token(), browser.submit(&code))?;
    let usage =
        cluster.store.read(&Sights::All).await?.invite(acme, ann_invite).await?.context("the invite")?.usage;
    assert_eq!((usage.uses_pending, usage.uses_completed), (0, 0), "signing in uses nothing up");

    let mut ann = join(&one, "ann", &register("_", Some(token.clone()))).await?;
    let usage =
        cluster.store.read(&Sights::All).await?.invite(acme, ann_invite).await?.context("the invite")?.usage;
    assert_eq!((usage.uses_pending, usage.uses_completed), (0, 1));
    assert_eq!(refusal(&one, &register("_", Some(token))).await?, "authentication required");
    let joined = cluster.store.read(&Sights::All).await?.joined(acme, ann_invite, None, 10).await?;
    assert_eq!(joined.first().map(|joined| joined.uid), Some(Uid::parse(ann.uid())?));

    let by_id = MemberFilter { external_id: Some("employee 7"), ..MemberFilter::default() };
    let found = cluster.store.read(&Sights::All).await?.member_records(acme, by_id, None, 10).await?;
    let found: Vec<(String, Option<&str>)> =
        found.iter().map(|member| (member.uid.to_string(), member.external_id.as_deref())).collect();
    assert_eq!(found, [(ann.uid().to_owned(), Some("employee 7"))], "the site's own systems find her");

    // Both hear of her in the group, and reach each other.
    ann.message().await?;
    let heard = ben.message().await?;
    assert!(format!("{heard:?}").contains("Ann of Acme"), "{heard:?}");
    ann.post("p1", &[ben.uid()], "hello").await?;
    ben.take("hello").await?;
    ben.post("p2", &[ann.uid()], "welcome").await?;
    ann.take("welcome").await?;
    cluster.passed()
}

/// Goal: a person joins with a sign-in at somebody else's provider, as the ordinary client does it: the provider is set up
/// over the API, the browser goes there and comes back, the client gets a token and registers, under the alias that the
/// provider says, if the person is of an allowed domain. A token of a foreign key, for somebody else, too old, or used
/// before lets nobody in, and a new key of the provider's does. Method: a whole provider of the test's own, a real browser, a
/// client that does what the real one does, and tokens of each kind.
// `tmtpctl` is waited for here while the provider answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_of_a_provider_joins() -> Result<()> {
    let (cluster, _) = cluster().await?;
    let acme = site(&cluster, "acme.test", Registration::Oidc).await?;
    let folder = tempfile::tempdir().context("make a folder")?;
    let operator = bootstrap(&cluster, &folder)?;
    let corp = Provider::start("acme-client").await;
    let issuer = corp.issuer();
    operator.ask(&format!(
        "provider create acme.test corp --label Corp --issuer {issuer} --client-id acme-client --alias-claim nickname \
         --domain corp.test"
    ))?;
    ensure!(
        operator.ask("provider test acme.test corp")?["ok"] == true,
        "the provider is not as it should be"
    );
    let (one, other) = (cluster.gateway(0).at("acme.test"), cluster.gateway(1).at("acme.test"));
    for gateway in [&one, &other] {
        let told = async || {
            let greeting = gateway.greeting().await.ok()?;
            let labels: Vec<String> =
                greeting.auth_by?.into_iter().map(|entry| entry.label.into_owned()).collect();
            (labels == ["Corp", "Acme invitation"]).then_some(())
        };
        eventually(WAIT, "clients to be told of the provider", told).await?;
    }

    let browser = Browser::start().await?;
    let person =
        |subject: &str, nickname: &str| json!({ "sub": subject, "hd": "corp.test", "nickname": nickname });
    let sign_in = async |gateway: &Gateway<'_>, person: Value| -> Result<Request> {
        corp.person(person);
        let sign_in = SignIn::begin(gateway, "Corp").await?;
        browser.open(&sign_in.address).await?;
        let page = browser.text().await?;
        ensure!(page.contains("Sign in at the provider"), "another page: {page}");
        let (token, ()) = tokio::try_join!(sign_in.token(), browser.press())?;
        Ok(register("_", Some(token)))
    };
    let anns = sign_in(&one, person("ann", "Ann of Corp")).await?;
    let mut ann = join(&one, "ann", &anns).await?;
    let named = cluster.store.names(&[(acme, "Ann of Corp".to_owned())]).await?;
    assert_eq!(named.len(), 1, "she has the alias that the provider says");
    assert_eq!(refusal(&one, &anns).await?, "authentication required", "used before");
    let again = sign_in(&one, person("ann", "Ann the second")).await?;
    assert_eq!(refusal(&one, &again).await?, "you are a member of this site already");
    let stranger = json!({ "sub": "eve", "hd": "elsewhere.test", "nickname": "Eve of Corp" });
    let foreign = sign_in(&one, stranger).await?;
    assert_eq!(refusal(&one, &foreign).await?, "authentication required", "another domain");

    let show = |id_token: String| {
        register("_", Some(Oidc { id_token, expires_in: 600, scope: "openid".into(), ..Oidc::default() }))
    };
    let claims = |change: fn(&mut Value)| {
        let mut claims = corp.claims(&person("eve", "Eve of Corp"));
        change(&mut claims);
        claims
    };
    for (why, request) in [
        ("too old", show(corp.sign(&claims(|claims| claims["exp"] = json!(1_000_000_000))))),
        ("for others", show(corp.sign(&claims(|claims| claims["aud"] = "another".into())))),
        ("a strange key", show(Pair::p256().token("one", &claims(|_| {})))),
        ("no token", register("_", None)),
    ] {
        assert_eq!(refusal(&one, &request).await?, "authentication required", "{why}");
    }

    // The other gateway has seen no token yet, and the provider has another key meanwhile.
    corp.rotate("two", Pair::ed());
    let bens = sign_in(&other, person("ben", "Ben of Corp")).await?;
    let mut ben = join(&other, "ben", &bens).await?;
    ben.post("p1", &[ann.uid()], "hello").await?;
    ann.take("hello").await?;
    cluster.passed()
}

/// Goal: who has to wait for approval has an account that does not open anything; when an admin says so over HTTP, it
/// does, and the person is in the groups of the invite. Who is denied stays out. Method: a site that takes people after
/// approval, two people with an invite and one without.
#[tokio::test]
async fn approval_is_waited_for() -> Result<()> {
    let (cluster, _) = cluster().await?;
    let acme = site(&cluster, "acme.test", Registration::Approval).await?;
    let folder = tempfile::tempdir().context("make a folder")?;
    let operator = bootstrap(&cluster, &folder)?;
    let (one, other) = (cluster.gateway(0).at("acme.test"), cluster.gateway(1).at("acme.test"));
    let (team, code) = invite(&cluster, acme, 1, |invite| {
        (invite.max_uses, invite.requires_approval) = (2, true);
        invite.groups = vec!["Everybody".into()];
    })
    .await?;
    let ask = |alias: &str, invite: Option<&InviteCode>| Request::Register {
        new_node: "laptop".into(),
        new_alias: alias.to_owned(),
        oidc: None,
        invite: invite.map(InviteCode::reveal),
    };
    let ann_account = wait_for_approval(&one, &ask("Ann of Acme", Some(&code))).await?;
    let ben_account = wait_for_approval(&other, &ask("Ben of Acme", Some(&code))).await?;
    let eve_account = wait_for_approval(&one, &ask("Eve of Acme", None)).await?;
    let pending = operator.ask("member list acme.test --status pending")?;
    assert_eq!(pending.as_array().map(Vec::len), Some(3), "{pending}");
    let usage = async || {
        anyhow::Ok(
            cluster.store.read(&Sights::All).await?.invite(acme, team).await?.context("the invite")?.usage,
        )
    };
    assert_eq!(usage().await?.uses_pending, 2);

    let approved = operator.ask(&format!("member approve acme.test {}", ann_account.uid))?;
    assert_eq!(approved["status"], "active");
    operator.ask(&format!("member approve acme.test {}", ben_account.uid))?;
    operator.ask(&format!("member deny acme.test {}", eve_account.uid))?;
    assert_eq!((usage().await?.uses_pending, usage().await?.uses_completed), (0, 2));
    // What they have missed, such as each other's coming, waits for them.
    let mut ann = Link::new("ann", ann_account.clone(), one.try_login(&ann_account).await?);
    let mut ben = Link::new("ben", ben_account.clone(), other.try_login(&ben_account).await?);
    let text = b"hello, everybody";
    let data = DataInfo { len: text.len() as u64, ..DataInfo::default() };
    let recipients = vec![Recipient { id: "Everybody".into(), kind: 3 }];
    ann.request(&Request::Post { id: "p1".into(), recipients, data }, text).await?;
    take_all_until(&mut ben, "delivery").await?;
    ensure!(one.try_login(&eve_account).await.is_err(), "she is in, who was denied");
    cluster.passed()
}

/// Acks messages until one of this operation has come.
async fn take_all_until(link: &mut Link, op: &str) -> Result<()> {
    loop {
        let frame = link.message().await?;
        let id = frame.response.std().context("no message")?.id.clone().into_owned();
        link.ack(&id).await?;
        if frame.response.op() == op {
            return Ok(());
        }
    }
}

/// Registers, and is told to wait; the account opens nothing.
async fn wait_for_approval(gateway: &Gateway<'_>, request: &Request) -> Result<Account> {
    let mut client = gateway.dial().await?;
    client.send(&Request::TmtpRev { id: "1".into() }, &[]).await?;
    client.next().await?.context("tmtprev")?;
    client.send(request, &[]).await?;
    let registered = client.next().await?.context("registered")?;
    let Response::Registered { uid, node_id, error: None } = registered.response else {
        anyhow::bail!("{registered:?}")
    };
    let told = end_of(&mut client).await?;
    assert_eq!(told, End::Quit("registered; an admin has to approve before you can log in".into()));
    let account = Account { uid: uid.into(), node_id: node_id.into(), alias_error: None };
    let Err(refused) = gateway.try_login(&account).await else {
        anyhow::bail!("somebody is in without approval")
    };
    assert!(refused.to_string().contains("login failed"), "{refused}");
    Ok(account)
}
