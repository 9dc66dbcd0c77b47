//! What reads of the admin API can see: the database decides, not the statement.

mod catalogue;
mod opened;
mod rows;

use sqlx::{AssertSqlSafe, PgConnection};
use tmtp_domain::{MsgId, NodeNum, Role, SiteId};
use tmtp_store::{ApiKey, Reader, Sights, Store};
use uuid::Uuid;

use crate::rig::{DEADLINE, Rig};
use opened::{OPENED, SECRETS};
use rows::{BOTH, HERE, OF_ALL, THERE, fill};

/// The sites that a table shows to a statement that forgets its WHERE.
async fn seen(connection: &mut PgConnection, table: &str) -> Vec<Option<Uuid>> {
    let forgetful = format!("SELECT DISTINCT site_id FROM {table} ORDER BY site_id NULLS LAST");
    sqlx::query_scalar(AssertSqlSafe(forgetful)).fetch_all(connection).await.unwrap()
}

/// Tables that the reader may see and that have a site.
fn tables() -> impl Iterator<Item = &'static str> {
    OPENED.iter().filter(|(_, columns)| columns.contains(&"site_id")).map(|(table, _)| *table)
}

/// Why a statement of the reader was refused.
async fn refusal(rig: &Rig, statement: &str) -> String {
    let mut tx = rig.pool.begin().await.unwrap();
    sqlx::raw_sql("SET LOCAL ROLE postern_reader; SET LOCAL postern.sites = 'all'")
        .execute(&mut *tx)
        .await
        .unwrap();
    let answer = sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&mut *tx).await;
    let error = answer.err().and_then(sqlx::Error::into_database_error);
    error.and_then(|error| error.code().map(std::borrow::Cow::into_owned)).unwrap_or_default()
}

/// Goal: in every table that the reader may see, a forgotten WHERE shows the rows of the read's own sites and no others;
/// method: two sites with a row in each table, and reads of one, of both, of none, of a site that is not there, and of
/// all.
#[tokio::test]
async fn forgetful_statements_see_their_sites() {
    let rig = Rig::new().await;
    fill(&rig.pool).await;
    for (sights, expected) in [
        (Sights::of(HERE), vec![HERE]),
        (Sights::of(THERE), vec![THERE]),
        (Sights::Of(vec![THERE, HERE]), vec![HERE, THERE]),
        (Sights::Of(vec![HERE, SiteId(Uuid::from_u128(9))]), vec![HERE]),
        (Sights::of(SiteId(Uuid::from_u128(9))), vec![]),
        (Sights::Of(vec![]), vec![]),
    ] {
        let expected: Vec<Option<Uuid>> = expected.into_iter().map(|site| Some(site.0)).collect();
        let mut read = rig.store.read(&sights).await.unwrap();
        for table in tables() {
            assert_eq!(seen(read.connection(), table).await, expected, "{table} with {sights:?}");
        }
    }
    let mut all = rig.all().await;
    for table in tables() {
        let mut expected = vec![Some(HERE.0), Some(THERE.0)];
        // What concerns the deployment.
        expected.extend(OF_ALL.contains(&table).then_some(None));
        assert_eq!(seen(all.connection(), table).await, expected, "{table} with all");
    }
}

/// Goal: nothing is seen by accident: not without the setting, not when it is empty, not with a word that is nearly the
/// one for all; method: the role with such settings, and a look into each table.
#[tokio::test]
async fn without_the_setting_nothing_is_seen() {
    let rig = Rig::new().await;
    fill(&rig.pool).await;
    let mut tx = rig.pool.begin().await.unwrap();
    let nothing = async |connection: &mut PgConnection| {
        for (table, columns) in OPENED {
            let forgetful = format!("SELECT count({}) FROM {table}", columns[0]);
            let count: i64 =
                sqlx::query_scalar(AssertSqlSafe(forgetful)).fetch_one(&mut *connection).await.unwrap();
            assert_eq!(count, 0, "{table}");
        }
    };
    sqlx::raw_sql("SET LOCAL ROLE postern_reader").execute(&mut *tx).await.unwrap();
    nothing(&mut tx).await;
    sqlx::raw_sql("SET LOCAL postern.sites = ''").execute(&mut *tx).await.unwrap();
    nothing(&mut tx).await;
    drop(tx);
    for nearly in ["ALL", " all", "all,", "*"] {
        let mut tx = rig.pool.begin().await.unwrap();
        let set = format!("SET LOCAL ROLE postern_reader; SET LOCAL postern.sites = '{nearly}'");
        sqlx::raw_sql(AssertSqlSafe(set)).execute(&mut *tx).await.unwrap();
        let seen: Result<Vec<Uuid>, _> =
            sqlx::query_scalar("SELECT site_id FROM site").fetch_all(&mut *tx).await;
        assert!(seen.is_err(), "{nearly:?} is no list of ids: {seen:?}");
    }
}

/// Goal: role and setting end with the read; method: a store with one connection, which reads one site, then another,
/// and then does as the tables' owner what the reader may not.
#[tokio::test]
async fn a_read_leaves_nothing_behind() {
    let rig = Rig::new().await;
    fill(&rig.pool).await;
    let store = Store::connect(&rig.url, 1, DEADLINE).await.unwrap();
    for site in [HERE, THERE] {
        let mut read = store.read(&Sights::of(site)).await.unwrap();
        assert_eq!(seen(read.connection(), "member").await, [Some(site.0)]);
        let changed = sqlx::raw_sql("SET LOCAL ROLE NONE; DELETE FROM usage_day").execute(read.connection());
        // A transaction that only reads.
        let code = changed.await.unwrap_err().into_database_error().unwrap().code().map(Into::into);
        assert_eq!(code, Some("25006".to_owned()));
    }
    assert_eq!(store.sites(&[HERE, THERE]).await.unwrap().len(), 2);
    assert!(store.use_key(&rows::hash(1)).await.unwrap().is_some());
}

/// Goal: a key is seen by who sees all of its sites, and an operator's by who sees all there are; method: keys of one
/// site, of another, of both, of all, in reads of each.
#[tokio::test]
async fn keys_are_of_all_their_sites() {
    let rig = Rig::new().await;
    fill(&rig.pool).await;
    let keys = async |sights: Sights| -> Vec<Option<Vec<SiteId>>> {
        let mut read = rig.store.read(&sights).await.unwrap();
        let mut keys: Vec<ApiKey> = read.keys(None, None, None, 9).await.unwrap();
        // One by one they are seen as in the list.
        for id in (1..=4).map(Uuid::from_u128) {
            assert_eq!(read.key(id).await.unwrap().as_ref(), keys.iter().find(|key| key.id == id));
        }
        keys.sort_by_key(|key| key.id);
        keys.into_iter().map(|key| key.sites).collect()
    };
    let (here, there) = (Some(vec![HERE]), Some(vec![THERE]));
    assert_eq!(keys(Sights::of(HERE)).await, vec![here.clone()]);
    assert_eq!(keys(Sights::of(THERE)).await, vec![there.clone()]);
    assert_eq!(keys(Sights::Of(BOTH.to_vec())).await, [here.clone(), there.clone(), Some(BOTH.to_vec())]);
    assert_eq!(keys(Sights::All).await, [here, there, Some(BOTH.to_vec()), None]);
    assert!(keys(Sights::Of(vec![])).await.is_empty());
}

/// Goal: what may be read with a key follows from its sites, and only operators' keys without any see all; method: keys
/// of both kinds, and one that no deployment should have.
#[tokio::test]
async fn sights_of_keys() {
    let rig = Rig::new().await;
    fill(&rig.pool).await;
    let sights = async |number| rig.store.use_key(&rows::hash(number)).await.unwrap().unwrap().sights();
    assert_eq!(sights(1).await, Sights::of(HERE));
    assert_eq!(sights(3).await, Sights::Of(BOTH.to_vec()));
    assert_eq!(sights(4).await, Sights::All);
    let operator = rig.store.use_key(&rows::hash(4)).await.unwrap().unwrap();
    assert_eq!(ApiKey { role: Role::Owner, ..operator.clone() }.sights(), Sights::Of(vec![]));
    assert_eq!(ApiKey { sites: Some(vec![HERE]), ..operator }.sights(), Sights::of(HERE));
}

/// Goal: the statements of the API's answers say nothing of another site even when they are asked for it; method: all of
/// them for a site with everything, in a read of another one, of none, and of the site.
#[tokio::test]
async fn statements_see_no_other_site() {
    let rig = Rig::new().await;
    fill(&rig.pool).await;
    assert_eq!(found(rig.store.read(&Sights::of(THERE)).await.unwrap()).await, ALL_FOUND);
    assert_eq!(found(rig.all().await).await, ALL_FOUND);
    for sights in [Sights::of(HERE), Sights::Of(vec![])] {
        assert_eq!(found(rig.store.read(&sights).await.unwrap()).await, [0; ALL_FOUND.len()], "{sights:?}");
    }
}

/// What there is at the other site.
const ALL_FOUND: [usize; 32] = [1; 32];

/// How much each of the API's statements finds of the other site.
async fn found(mut read: Reader) -> [usize; ALL_FOUND.len()] {
    let (site, uid, invite) = (THERE, rows::UID, rows::INVITE);
    let one = |found: bool| usize::from(found);
    let only = |sites: &'static [SiteId]| Some(sites);
    let audit = tmtp_store::AuditFilter { sites: only(&[THERE]), ..Default::default() };
    let jobs = tmtp_store::JobFilter { sites: only(&[THERE]), ..Default::default() };
    let sites = tmtp_store::SiteFilter { only: only(&[THERE]), ..Default::default() };
    let holdings = read.holdings(site, uid).await.unwrap();
    let names = [(site, "there".to_owned())];
    [
        one(read.site(site).await.unwrap().is_some()),
        one(read.site_record(site).await.unwrap().is_some()),
        read.site_records(sites, None, 9).await.unwrap().len(),
        read.audit(audit, 9).await.unwrap().len(),
        read.jobs(jobs, None, 9).await.unwrap().len(),
        one(read.job(rows::JOB).await.unwrap().is_some()),
        read.keys(only(&[THERE]), Some(site), None, 9).await.unwrap().len(),
        one(read.key(Uuid::from_u128(2)).await.unwrap().is_some()),
        read.usage(only(&[THERE]), ("2000-01-01", "2100-01-01"), None, 9).await.unwrap().len(),
        read.invites(site, tmtp_store::InviteFilter::default(), 9).await.unwrap().len(),
        one(read.invite(site, invite).await.unwrap().is_some()),
        read.joined(site, invite, None, 9).await.unwrap().len(),
        read.awaited_groups(site, uid).await.unwrap().len(),
        read.member_records(site, tmtp_store::MemberFilter::default(), None, 9).await.unwrap().len(),
        one(read.member_record(site, uid).await.unwrap().is_some()),
        read.device_records(site, uid).await.unwrap().len(),
        usize::try_from(holdings.devices.max(holdings.queued).max(holdings.identities)).unwrap(),
        read.group_records(site, None, 9).await.unwrap().len(),
        one(read.group_record(site, "group").await.unwrap().is_some()),
        read.group_places(site, "group", None, 9).await.unwrap().len(),
        one(read.site_policy(site).await.unwrap().is_some())
            * read.site_policies(site, None, 9).await.unwrap().len(),
        one(read.provider(site, "corp").await.unwrap().is_some()) * read.providers(site).await.unwrap().len(),
        read.certificates(site).await.unwrap().len(),
        read.acme_domains(site).await.unwrap().len(),
        read.names(&names).await.unwrap().len(),
        read.looks(&[(site, "look".to_owned())]).await.unwrap().len(),
        read.places_of(site, "group", &[uid]).await.unwrap().len(),
        read.members_among(site, &[uid]).await.unwrap().len(),
        read.oldest_aliases(site, &[uid]).await.unwrap().len(),
        read.trace_pages(site, (7, MsgId(5)), (-1, 0), 9).await.unwrap().len(),
        read.dropped_queues(site, MsgId(5), &[(uid, NodeNum(1))]).await.unwrap().len(),
        one(read.owed_in_rows(site, MsgId(5)).await.unwrap().is_some()),
    ]
}

/// Goal: whoever may see anything sees the cluster, and nobody else; method: reads of a site, of all, and of none.
#[tokio::test]
async fn the_cluster_is_of_no_site() {
    let rig = Rig::new().await;
    rig.owner().await;
    for sights in [Sights::of(HERE), Sights::All] {
        let (shards, workers) = rig.store.read(&sights).await.unwrap().cluster().await.unwrap();
        assert_eq!((shards.len(), workers.len()), (usize::from(crate::rig::SHARDS), 1));
    }
    let (shards, workers) = rig.store.read(&Sights::Of(vec![])).await.unwrap().cluster().await.unwrap();
    assert_eq!((shards.len(), workers.len()), (0, 0));
}

/// Goal: the reader sees no secrets and no content, whatever sites it sees, and changes nothing; method: such statements,
/// as the reader of all sites.
#[tokio::test]
async fn the_reader_has_few_rights() {
    let rig = Rig::new().await;
    fill(&rig.pool).await;
    assert_eq!(refusal(&rig, "SELECT site_id FROM node").await, "", "what is no secret is seen");
    for (table, column) in SECRETS {
        assert_eq!(
            refusal(&rig, &format!("SELECT {column} FROM {table}")).await,
            "42501",
            "{table}.{column}"
        );
        // Comparing it would tell as much.
        let compared = format!("SELECT 1 FROM {table} WHERE {column} IS NULL");
        assert_eq!(refusal(&rig, &compared).await, "42501", "{table}.{column}");
    }
    for refused in [
        "UPDATE site SET name = 'x'",
        "DELETE FROM member",
        "INSERT INTO site_domain (site_id, domain) SELECT site_id, 'x' FROM site LIMIT 1",
        "SELECT * FROM node",
        "SELECT 1 FROM site FOR UPDATE",
        "TRUNCATE usage_day",
    ] {
        assert_eq!(refusal(&rig, refused).await, "42501", "{refused}");
    }
}
