//! How people join a site that does not take everybody: with an invitation, with a sign-in elsewhere, after approval.

mod browser;
mod person;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tmtp_client::Account;
use tmtp_domain::{
    ClaimRules, Endpoint, InviteCode, InviteId, MemberStatus, Provider, ProviderKind, Registration, SiteId,
    Uid,
};
use tmtp_e2e::{Cluster, End, Gateway, Link, Setup, WAIT, end_of};
use tmtp_store::{MemberFilter, NewInvite};
use tmtp_testkit::oidc::{Pair, Server, document};
use tmtp_testkit::{eventually, free_port};
use tmtp_wire::{Oidc, Request, Response};
use uuid::Uuid;

use browser::Browser;
use person::{SignIn, register};

/// A cluster with pages for invited people.
async fn cluster() -> Result<(Cluster, String)> {
    let port = free_port();
    let url = format!("http://localhost:{port}");
    let cluster = Setup::new()
        .with_admin()
        .admin_setting("public.address", &format!("127.0.0.1:{port}"))
        .admin_setting("public.url", &url)
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
    let sign_in = SignIn::begin(&one, "Acme invitation").await?;
    browser.open(&sign_in.address).await?;
    assert_eq!(browser.code().await?, ann_code.reveal(), "the browser remembers the code");
    browser.submit("7K4M-Q2XD-9TRA").await?;
    let page = browser.text().await?;
    assert!(page.contains("Code of your invitation"), "the page after a wrong code: {page}");
    // The button's click ends when the client has answered the browser that comes back to it.
    let code = ann_code.reveal();
    let (token, ()) = tokio::try_join!(sign_in.token(), browser.submit(&code))?;
    let usage = cluster.store.invite(acme, ann_invite).await?.context("the invite")?.usage;
    assert_eq!((usage.uses_pending, usage.uses_completed), (0, 0), "signing in uses nothing up");

    let mut ann = join(&one, "ann", &register("_", Some(token.clone()))).await?;
    let usage = cluster.store.invite(acme, ann_invite).await?.context("the invite")?.usage;
    assert_eq!((usage.uses_pending, usage.uses_completed), (0, 1));
    assert_eq!(refusal(&one, &register("_", Some(token))).await?, "authentication required");
    let joined = cluster.store.joined(acme, ann_invite, 10).await?;
    assert_eq!(joined.first().map(|joined| joined.uid), Some(Uid::parse(ann.uid())?));

    let by_id = MemberFilter { external_id: Some("employee 7"), ..MemberFilter::default() };
    let found = cluster.store.member_records(acme, by_id, None, 10).await?;
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

/// Goal: a sign-in at somebody else's provider lets a person in once, under the alias that the provider says, if the
/// person is of an allowed domain; a token of a foreign key, for somebody else, too old, or used before does not.
/// Method: a provider of the test's own; tokens of each kind; the keys change meanwhile.
#[tokio::test]
async fn a_person_of_a_provider_joins() -> Result<()> {
    let (cluster, _) = cluster().await?;
    let acme = site(&cluster, "acme.test", Registration::Oidc).await?;
    let pair = Pair::p256();
    let server = Server::start(document(&[pair.jwk("one")])).await;
    let endpoint = |path: &str| Endpoint { url: server.url(path), params: vec!["client_id=acme".into()] };
    let provider = Provider {
        id: "corp".into(),
        label: "Corp".into(),
        kind: ProviderKind::Foreign,
        issuer: server.url(""),
        authorize: endpoint("/authorize"),
        token: endpoint("/token"),
        jwks_uri: server.url("/keys"),
        audiences: vec!["acme".into()],
        claims: ClaimRules {
            alias: Some("nickname".into()),
            domains: vec!["corp.test".into()],
            ..ClaimRules::default()
        },
        nonce: None,
        keys_since: 0,
    };
    provider.validate()?;
    let mut tx = cluster.store.admin().await?;
    tx.create_provider(acme, &provider).await?.context("the provider")?;
    tx.commit().await?;
    let one = cluster.gateway(0).at("acme.test");
    let told = async || {
        let greeting = one.greeting().await.ok()?;
        let labels: Vec<String> =
            greeting.auth_by?.into_iter().map(|entry| entry.label.into_owned()).collect();
        (labels == ["Corp", "Acme invitation"]).then_some(())
    };
    eventually(WAIT, "clients to be told of the provider", told).await?;

    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let claims = |subject: &str, nickname: &str| {
        json!({ "iss": provider.issuer, "sub": subject, "aud": ["acme"], "exp": now + 600, "iat": now,
                "hd": "corp.test", "nickname": nickname })
    };
    let show = |id_token: String| {
        register("_", Some(Oidc { id_token, expires_in: 600, scope: "openid".into(), ..Oidc::default() }))
    };
    let ann_token = show(pair.token("one", &claims("ann", "Ann of Corp")));
    let mut ann = join(&one, "ann", &ann_token).await?;
    let mut foreign = claims("eve", "Eve of Corp");
    foreign["hd"] = "elsewhere.test".into();
    let mut old = claims("eve", "Eve of Corp");
    old["exp"] = (now - 3_600).into();
    let mut for_others = claims("eve", "Eve of Corp");
    for_others["aud"] = "another".into();
    let strange = Pair::p256();
    for (why, request) in [
        ("used before", ann_token),
        ("another domain", show(pair.token("one", &foreign))),
        ("too old", show(pair.token("one", &old))),
        ("for others", show(pair.token("one", &for_others))),
        ("a strange key", show(strange.token("one", &claims("eve", "Eve of Corp")))),
        ("no token", register("_", None)),
    ] {
        assert_eq!(refusal(&one, &request).await?, "authentication required", "{why}");
    }
    let again = show(pair.token(
        "one",
        &json!({ "iss": provider.issuer, "sub": "ann", "aud": "acme",
        "exp": now + 500, "hd": "corp.test", "nickname": "Ann the second" }),
    ));
    assert_eq!(refusal(&one, &again).await?, "you are a member of this site already");

    let newer = Pair::ed();
    let other = cluster.gateway(1).at("acme.test");
    server.answer(200, document(&[newer.jwk("two")]));
    // This gateway has seen no token yet.
    let mut ben = join(&other, "ben", &show(newer.token("two", &claims("ben", "Ben of Corp")))).await?;
    ben.post("p1", &[ann.uid()], "hello").await?;
    ann.take("hello").await?;
    cluster.passed()
}

/// Goal: who has to wait for approval has an account that does not open anything, and opens when an admin says so;
/// method: a site that takes people after approval.
#[tokio::test]
async fn approval_is_waited_for() -> Result<()> {
    let (cluster, _) = cluster().await?;
    let acme = site(&cluster, "acme.test", Registration::Approval).await?;
    let one = cluster.gateway(0).at("acme.test");
    let mut client = one.dial().await?;
    client.send(&Request::TmtpRev { id: "1".into() }, &[]).await?;
    client.next().await?.context("tmtprev")?;
    client.send(&register("Ann of Acme", None), &[]).await?;
    let registered = client.next().await?.context("registered")?;
    let Response::Registered { uid, node_id, error: None } = registered.response else {
        anyhow::bail!("{registered:?}")
    };
    let told = end_of(&mut client).await?;
    assert_eq!(told, End::Quit("registered; an admin has to approve before you can log in".into()));
    let account = Account { uid: uid.into(), node_id: node_id.into(), alias_error: None };
    let Err(refused) = one.try_login(&account).await else { anyhow::bail!("she is in without approval") };
    assert!(refused.to_string().contains("login failed"), "{refused}");
    let member = cluster.store.member_record(acme, Uid::parse(&account.uid)?).await?.context("the member")?;
    assert_eq!(member.status, MemberStatus::Pending);
    cluster.passed()
}
