//! What people see.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use tmtp_domain::{InviteCode, SiteId};
use tmtp_store::{AuditFilter, SiteTurn};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use uuid::Uuid;

use super::rig::{Answer, Rig};

/// For what has to come.
const DEADLINE: Duration = Duration::from_secs(30);

/// Every page, whatever it says, is plain HTML that keeps browsers from doing anything else with it.
fn check_page(answer: &Answer) {
    let header = |name: &str| answer.headers[name].to_str().unwrap();
    assert_eq!(header("content-type"), "text/html; charset=utf-8");
    assert_eq!(header("cache-control"), "no-store");
    assert_eq!(header("referrer-policy"), "no-referrer");
    assert_eq!(header("x-content-type-options"), "nosniff");
    let policy = header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!answer.body.contains("<script") && !answer.body.contains(" style="), "{}", answer.body);
    assert!(answer.body.starts_with("<!DOCTYPE html><html lang=\"en\">"));
}

/// Goal: the link of an invite leads to all that a person needs, by the site's domain and by its id, and opening it
/// changes nothing; method: open it several times.
#[tokio::test]
async fn an_invitation() {
    let rig = Rig::new().await;
    let (invite, code) = rig
        .invite(77, |new| {
            new.alias = Some("ann <b>".into());
            new.expires_at = Some(4_102_491_600_000);
            new.requires_approval = true;
        })
        .await;
    let page = rig.get(&format!("i/{code}")).await;
    assert_eq!(page.status, StatusCode::OK);
    check_page(&page);
    for part in [
        "Join Acme &lt;&amp; Söhne&gt;",
        "+acme.example:443",
        "Acme &lt;&amp; Söhne&gt; invitation",
        "ann &lt;b&gt;",
        &code,
        "<svg role=\"img\"",
        "good until 1 January 2100, 13:00 UTC",
        "has approved",
    ] {
        assert!(page.body.contains(part), "no {part:?} in {}", page.body);
    }
    let by_domain =
        reqwest::get(format!("{}/acme.example/i/{}", rig.url, code.to_lowercase())).await.unwrap();
    assert_eq!(by_domain.text().await.unwrap(), page.body);
    let after = rig.all().await.invite(rig.site, invite).await.unwrap().unwrap();
    assert_eq!((after.usage.uses_pending, after.usage.uses_completed), (0, 0));
}

/// Goal: the browser that opened the link has the code filled in, others have not; method: with its cookie, without,
/// with another site's, with nonsense.
#[tokio::test]
async fn the_code_is_filled_in() {
    let rig = Rig::new().await;
    let (_, code) = rig.invite(77, |_| ()).await;
    let page = rig.get(&format!("i/{code}")).await;
    let cookie = page.headers["set-cookie"].to_str().unwrap();
    assert!(cookie.contains("; HttpOnly; SameSite=Lax"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(rig.sign_in()).finish();
    let ask = async |cookie: &str| {
        rig.ask(Method::GET, &format!("authorize?{query}"), &[("cookie", cookie)], None).await
    };
    let filled = ask(&format!("a=b; {cookie}")).await;
    check_page(&filled);
    assert!(filled.body.contains(&format!("value=\"{code}\"")), "{}", filled.body);
    assert!(filled.body.contains("name=\"state\" value=\"s&amp;1\""), "{}", filled.body);
    let policy = filled.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("form-action 'self' http://localhost:8123;"), "{policy}");
    let (name, _) = cookie.split_once('=').unwrap();
    for other in ["", &format!("x{cookie}"), &format!("{name}=\"><b>")] {
        let empty = ask(other).await;
        assert!(empty.body.contains("name=\"invite_code\" value=\"\""), "{}", empty.body);
    }
}

/// Goal: what is wrong with a code is told in words, on the link's page and on the form; method: a code of each kind.
#[tokio::test]
async fn wrong_codes() {
    let rig = Rig::new().await;
    let (_, expired) = rig.invite(1, |new| new.expires_at = Some(1_000)).await;
    let (revoked_id, revoked) = rig.invite(2, |_| ()).await;
    rig.revoke(revoked_id).await;
    let elsewhere = SiteId(Uuid::new_v4());
    rig.create_site(elsewhere, "Elsewhere", "elsewhere.example").await;
    let unknown = InviteCode::from_random(99).reveal();
    for (code, status, words) in [
        (expired.as_str(), StatusCode::GONE, "This invitation has expired"),
        (&revoked, StatusCode::GONE, "This invitation was withdrawn"),
        (&unknown, StatusCode::NOT_FOUND, "We do not know this code"),
        ("7K4M", StatusCode::BAD_REQUEST, "That is not a complete code"),
        ("7K4M-Q2XD-9TR\u{fc}", StatusCode::BAD_REQUEST, "That is not a complete code"),
    ] {
        let page = rig.get(&format!("i/{code}")).await;
        check_page(&page);
        assert_eq!((page.status, page.body.contains(words)), (status, true), "{}", page.body);
        let form = rig.submit(&rig.sign_in(), code).await;
        check_page(&form);
        assert_eq!((form.status, form.body.contains(words)), (status, true), "{}", form.body);
        assert!(form.body.contains("role=\"alert\"") && form.body.contains("name=\"code_challenge\""));
        assert!(form.body.contains(&format!("name=\"invite_code\" value=\"{code}\"")), "{}", form.body);
    }
    let (_, good) = rig.invite(3, |_| ()).await;
    let page = reqwest::get(format!("{}/{elsewhere}/i/{good}", rig.url)).await.unwrap();
    assert_eq!(page.status(), StatusCode::NOT_FOUND, "it is another site's");
}

/// Goal: guessing ends soon, is written down without the code, and does not keep others from joining; method: guess,
/// look into the log, join from elsewhere.
#[tokio::test]
async fn guessing() {
    let rig = Rig::new().await;
    let (_, good) = rig.invite(1, |_| ()).await;
    let sign_in = rig.sign_in();
    let mut guesses = 0;
    let blocked = loop {
        let guess = InviteCode::from_random(1_000 + guesses).reveal();
        let answer = rig.submit_from("192.0.2.66", &sign_in, &guess).await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            break answer;
        }
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        guesses += 1;
        assert!(guesses < 50, "without end");
    };
    check_page(&blocked);
    assert!(blocked.body.contains("Try again in a minute (at "), "{}", blocked.body);
    assert!(blocked.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() <= 61);
    assert_eq!(
        rig.submit_from("192.0.2.66", &sign_in, &good).await.status,
        StatusCode::TOO_MANY_REQUESTS,
        "not even the right one"
    );
    let tries = |outcome: &str| rig.metrics.invite_tries_total.with_label_values(&[outcome]).get();
    assert_eq!((tries("unknown"), tries("blocked")), (guesses, 2));
    let here = [rig.site];
    let filter =
        AuditFilter { sites: Some(&here), action: Some("invite.code_failed"), ..AuditFilter::default() };
    let entries = rig.all().await.audit(filter, 100).await.unwrap();
    assert_eq!(u64::try_from(entries.len()).unwrap(), guesses);
    assert!(entries.iter().all(|entry| entry.from == "192.0.2.66" && entry.after.is_none()));
    assert_eq!(rig.submit_from("192.0.2.67", &sign_in, &good).await.status, StatusCode::SEE_OTHER);
}

/// Goal: what is not there is told as such, and a site that is not served is closed; method: wrong paths, a wrong
/// method, too much, and a suspended site.
#[tokio::test]
async fn nothing_here() {
    let rig = Rig::new().await;
    for path in ["", "nowhere.example/i/7K4M-Q2XD-9TRA", "a/b/c/d", "%FF/authorize", "%00/authorize"] {
        let answer = reqwest::get(format!("{}/{path}", rig.url)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(rig.ask(Method::DELETE, "authorize", &[], None).await.status, StatusCode::METHOD_NOT_ALLOWED);
    let large = "x".repeat(100_000);
    let answer = rig.ask(Method::POST, "authorize", &[], Some(&[("a", &large)])).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);

    let (_, code) = rig.invite(1, |_| ()).await;
    let mut tx = rig.store.admin().await.unwrap();
    let suspend = SiteTurn::Suspend { reason: "unpaid".into(), notice: None };
    tx.turn_site(rig.site, &suspend).await.unwrap();
    tx.commit().await.unwrap();
    let answer = rig.get(&format!("i/{code}")).await;
    assert!(answer.status == StatusCode::SERVICE_UNAVAILABLE && answer.body.contains("closed at the moment"));
}

/// Goal: nobody keeps a place at the public port by sending little, or sends too much; method: a form that does not arrive,
/// for a page and for a client, and one that is too large.
#[tokio::test]
async fn slow_and_large_forms() {
    let rig = Rig::with(Duration::from_millis(200)).await;
    let address = rig.url.trim_start_matches("http://");
    for (path, kind) in [("authorize", "text/html"), ("token", "application/json")] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST /{}/{path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: 100\r\nConnection: close\r\n\r\nco",
            rig.site
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = timeout(DEADLINE, stream.read_to_string(&mut answer)).await;
        read.expect("it waits for the form").unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        let answer = answer.to_lowercase();
        assert!(
            answer.contains(&format!("content-type: {kind}")) && answer.contains("retry-after: "),
            "{answer}"
        );
    }
    let large = "x".repeat(64 * 1024);
    let refused = rig.ask(Method::POST, "authorize", &[], Some(&[("code", &large)])).await;
    assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
}
