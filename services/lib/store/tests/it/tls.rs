//! TLS: what `sslmode` and the files in the URL mean.

use std::path::Path;

use sqlx::{PgPool, Row};
use tmtp_store::Store;
use tmtp_testkit::{Authority, Postgres};

use crate::rig::DEADLINE;

/// Goal: a server is believed only with a certificate of the authority that the URL names, and is shown the certificate of
/// ours; method: a server that takes TLS only, with its authority, with another one, with none, and without TLS.
#[tokio::test]
async fn who_is_believed() {
    let (postgres, authority, other) =
        (Postgres::start().unwrap(), Authority::new().unwrap(), Authority::new().unwrap());
    postgres.use_tls(&authority).unwrap();
    let url = postgres.url("postgres");
    let verify = |ca: &Path| format!("{url}?sslmode=verify-full&sslrootcert={}", ca.display());
    let (certificate, key) = authority.issue("worker").unwrap();
    let full = format!(
        "{}&sslcert={}&sslkey={}",
        verify(&authority.certificate()),
        certificate.display(),
        key.display()
    );
    Store::connect(&full, 1, DEADLINE).await.unwrap().migrate(4).await.unwrap();
    let pool = PgPool::connect(&full).await.unwrap();
    let row = sqlx::query(
        "SELECT ssl, client_serial IS NOT NULL AS shown FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!((row.get("ssl"), row.get("shown")), (true, true));

    for (url, why) in [
        (verify(&other.certificate()), "UnknownIssuer"),
        (format!("{url}?sslmode=verify-full"), "UnknownIssuer"),
        (verify(&authority.certificate()).replace("127.0.0.1", "localhost"), "NotValidForName"),
        (verify(Path::new("/nowhere/ca.crt")), "No such file"),
        (format!("{url}?sslmode=disable"), "no encryption"),
    ] {
        let error = Store::connect(&url, 1, DEADLINE).await.err().unwrap();
        let text = format!("{error:?}");
        assert!(text.contains(why), "{url}: {text}");
    }
}
