//! What the admin API's reads of one site can see: the database decides, not the statement.

use tmtp_domain::{SiteId, Uid};
use uuid::Uuid;

use crate::rig::Rig;

/// Tables that the reader may see, with a statement for each that forgets its WHERE.
const FORGETFUL: &[(&str, &str)] = &[
    ("site", "SELECT site_id FROM site"),
    ("site_domain", "SELECT site_id FROM site_domain"),
    ("member", "SELECT site_id FROM member"),
    ("node", "SELECT site_id FROM node"),
];

/// Goal: a forgotten WHERE shows one site's rows, and nothing without the setting; method: two sites with members, and
/// such statements in a read of one, in a read of none, and as the reader without the setting.
#[tokio::test]
async fn forgetful_statements_see_one_site() {
    let rig = Rig::new().await;
    let (_, mut shards) = rig.owner().await;
    let here = rig.site_with_member(&mut shards[0], Uid([1; 20])).await;
    rig.create_site("other.example").await;
    let mut read = rig.store.read_site(here).await.unwrap();
    for (table, statement) in FORGETFUL {
        let seen: Vec<Uuid> = sqlx::query_scalar(*statement).fetch_all(read.connection()).await.unwrap();
        assert_eq!(seen, [here.0], "{table}");
    }
    assert_eq!(read.site_record().await.unwrap().unwrap().id, here);
    drop(read);
    let mut nothing = rig.store.read_site(SiteId(Uuid::from_u128(9))).await.unwrap();
    assert_eq!(nothing.site_record().await.unwrap(), None);
    drop(nothing);

    let mut tx = rig.pool.begin().await.unwrap();
    sqlx::raw_sql("SET LOCAL ROLE postern_reader").execute(&mut *tx).await.unwrap();
    for (table, statement) in FORGETFUL {
        let seen: Vec<Uuid> = sqlx::query_scalar(*statement).fetch_all(&mut *tx).await.unwrap();
        assert!(seen.is_empty(), "{table}");
    }
    drop(tx);
    assert_eq!(rig.count("SELECT count(*) FROM site").await, 2, "owners see everything");
}

/// Goal: the reader sees no secrets, no content, and changes nothing; method: such statements.
#[tokio::test]
async fn the_reader_has_few_rights() {
    let rig = Rig::new().await;
    for refused in [
        "SELECT secret FROM node",
        "SELECT hash FROM api_key",
        "SELECT header FROM message",
        "SELECT body FROM message",
        "SELECT answer FROM idempotency",
        "SELECT octets FROM body_chunk",
        "UPDATE site SET name = 'x'",
        "DELETE FROM member",
    ] {
        let mut tx = rig.pool.begin().await.unwrap();
        sqlx::raw_sql("SET LOCAL ROLE postern_reader").execute(&mut *tx).await.unwrap();
        let answer = sqlx::query(refused).execute(&mut *tx).await;
        let code = answer.unwrap_err().into_database_error().unwrap().code().unwrap().into_owned();
        assert_eq!(code, "42501", "{refused}");
    }
}
