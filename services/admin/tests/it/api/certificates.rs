//! Certificates over HTTP: uploaded, looked at, removed, and ordered.

use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use tmtp_admin::Config;
use tmtp_domain::{Role, seal_context};
use tmtp_seal::Sealer;

use super::world::{World, site_id};

/// 32 octets in base64.
const KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

/// A deployment that keeps and orders certificates.
async fn world() -> World {
    let mut config = Config::default();
    config.secrets.key = KEY.into();
    config.acme.enabled = true;
    config.acme.terms_agreed = true;
    World::with(config).await
}

/// A certificate that is issued by itself, as the API takes it, and its key in DER.
fn pair(names: &[&str]) -> (Value, Vec<u8>) {
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    (json!({ "certificate": certificate.pem(), "private_key": key.serialize_pem() }), key.serialize_der())
}

fn path(site: &Value) -> String {
    format!("/v1/sites/{}/certificates", site["id"].as_str().unwrap())
}

/// Goal: a certificate is taken, shown with what is good to know, kept sealed, and removed; its key is nowhere to be read.
/// Method: upload twice with one idempotency key, list, show, look into the database and the audit log, remove.
#[tokio::test]
async fn uploaded_and_removed() {
    let world = world().await;
    let site = world.site("a.example").await;
    let (body, key) = pair(&["a.example", "b.example"]);
    let once = [("idempotency-key", "one")];
    let upload =
        async || world.call("POST", &path(&site), &world.operator, Some(&body), &once).await.expect(201);
    let uploaded = upload().await;
    assert_eq!(upload().await, uploaded);
    assert_eq!(
        (&uploaded["source"], &uploaded["covers"], &uploaded["names"]),
        (&json!("upload"), &json!(["a.example"]), &json!(["a.example", "b.example"]))
    );
    let codes: Vec<&Value> =
        uploaded["warnings"].as_array().unwrap().iter().map(|warning| &warning["code"]).collect();
    assert_eq!(codes, ["names_foreign", "self_signed"]);
    assert!(uploaded["days_left"].as_i64().unwrap() > 365);

    let listed = world.get(&path(&site)).await.expect(200);
    assert_eq!((listed["data"].as_array().unwrap().len(), &listed["data"][0]["id"]), (1, &uploaded["id"]));
    let one = format!("{}/{}", path(&site), uploaded["id"].as_str().unwrap());
    assert_eq!(world.get(&one).await.expect(200), listed["data"][0]);

    let (known, content) = world.store.certificates_since(0, 10).await.unwrap().remove(0);
    assert!(!content.sealed_key.windows(key.len()).any(|part| part == key));
    let sealer = Sealer::parse(KEY).unwrap();
    let opened = sealer.open(&seal_context(site_id(&site), known.id), &content.sealed_key).unwrap();
    assert_eq!(opened, key);
    assert_eq!(world.delete(&one).await.status, 204);
    assert_eq!(world.delete(&one).await.problem(404), "not_found");
    assert_eq!(world.get(&path(&site)).await.expect(200)["data"], json!([]));

    let audit = world.all().await.audit(tmtp_store::AuditFilter::default(), 10).await.unwrap();
    let actions: Vec<&str> = audit.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions[..2], ["certificate.remove", "certificate.upload"]);
    assert!(!format!("{audit:?}").contains("PRIVATE"));
}

/// Goal: what cannot serve is refused with what to do, and nobody reaches another site's certificates; method: wrong names,
/// another key, no text, keys of other sites and lesser roles, a deployment without a key.
#[tokio::test]
async fn refused() {
    let world = world().await;
    let site = world.site("a.example").await;
    let (good, _) = pair(&["a.example"]);
    let (foreign, _) = pair(&["b.example"]);
    for (body, code, param) in [
        (foreign.clone(), "certificate_names", "certificate"),
        (
            json!({ "certificate": good["certificate"], "private_key": foreign["private_key"] }),
            "key_mismatch",
            "private_key",
        ),
        (json!({ "certificate": "", "private_key": "" }), "certificate_unreadable", "certificate"),
        (json!({ "certificate": "" }), "invalid", "body"),
    ] {
        let refused = world.post(&path(&site), &body).await;
        assert_eq!((refused.problem(422).as_str(), &refused.json()["param"]), (code, &json!(param)));
    }
    let uploaded = world.post(&path(&site), &good).await.expect(201);
    let other = world.site("other.example").await;
    let id = uploaded["id"].as_str().unwrap();
    assert_eq!(world.get(&format!("{}/{id}", path(&other))).await.problem(404), "not_found");

    let stranger = world.key(Role::Owner, Some(vec![site_id(&other)])).await;
    let reader = world.key(Role::Readonly, Some(vec![site_id(&site)])).await;
    let call = async |method: &str, key: &str, body| world.call(method, &path(&site), key, body, &[]).await;
    assert_eq!(call("GET", &stranger, None).await.problem(404), "not_found");
    assert_eq!(call("POST", &stranger, Some(&good)).await.problem(404), "not_found");
    call("GET", &reader, None).await.expect(200);
    assert_eq!(call("POST", &reader, Some(&good)).await.problem(403), "forbidden");

    let off = World::new().await;
    let site = off.site("a.example").await;
    assert_eq!(off.post(&path(&site), &good).await.problem(409), "certificates_off");
    let acme = format!("/v1/sites/{}/domains/a.example/acme", site["id"].as_str().unwrap());
    assert_eq!(off.call("PUT", &acme, &off.operator, None, &[]).await.problem(409), "acme_off");
}

/// Goal: ordering is switched on and off by domain, and is not pressed; method: on, again, looked at, tried at once, off,
/// and where it makes no sense.
#[tokio::test]
async fn ordered() {
    let world = world().await;
    let site = world.site("a.example").await;
    let domains = format!("/v1/sites/{}/domains", site["id"].as_str().unwrap());
    world.post(&domains, &json!({ "domain": "*.b.example" })).await.expect(201);
    let acme = format!("{domains}/a.example/acme");
    let put = async |path: &str| world.call("PUT", path, &world.operator, None, &[]).await;
    assert_eq!(world.get(&acme).await.problem(404), "not_found");
    let on = put(&acme).await.expect(200);
    assert_eq!(
        (&on["state"], &on["failures"], on["last_error"].is_null()),
        (&json!("waiting"), &json!(0), true)
    );
    assert_eq!(put(&acme).await.expect(200), on);
    assert_eq!(world.get(&acme).await.expect(200), on);
    let pressed = world.post(&format!("{acme}/try"), &json!({})).await;
    assert_eq!(pressed.problem(429), "too_many_requests");
    assert!(pressed.header("retry-after").parse::<u64>().unwrap() <= 300);

    let again =
        "UPDATE acme_domain SET state = 'failed', changed_at = now() - interval '1 hour', attempts = 3,
                                       next_at = now() + interval '1 day', last_error = 'no route'";
    let pool = sqlx::PgPool::connect(&world.url).await.unwrap();
    sqlx::query(again).execute(&pool).await.unwrap();
    let failed = world.get(&acme).await.expect(200);
    assert_eq!((&failed["state"], &failed["last_error"]), (&json!("failed"), &json!("no route")));
    let tried = world.post(&format!("{acme}/try"), &json!({})).await.expect(202);
    assert_eq!((&tried["state"], &tried["failures"]), (&json!("waiting"), &json!(3)));
    assert!(tried["next_try_at"].as_str() < failed["next_try_at"].as_str());

    assert_eq!(world.delete(&acme).await.status, 204);
    assert_eq!(world.delete(&acme).await.problem(404), "not_found");
    assert_eq!(put(&format!("{domains}/c.example/acme")).await.problem(404), "not_found");
    assert_eq!(put(&format!("{domains}/*.b.example/acme")).await.problem(422), "invalid");
}
