//! What names look like: written with them, gone with them, and made up for where an earlier release has left it out.

use tmtp_domain::policy::skeletons;
use tmtp_domain::{NameHolder, SiteId};
use tmtp_store::Change;

use crate::rig::{Rig, uid};

fn looks(site: SiteId, name: &str) -> Vec<(SiteId, String)> {
    skeletons(name).into_iter().map(|look| (site, look)).collect()
}

/// Goal: names are found by others that look like them, at their site only; method: an alias, a group, imitations.
#[tokio::test]
async fn found_by_imitations() {
    let rig = Rig::new().await;
    let (_, mut shards) = rig.owner().await;
    let site = rig.site_with_member(&mut shards[0], uid(1)).await;
    let other = rig.create_site("other.example").await;
    let changes = vec![
        Change::Name { site, name: "Ann Bell".into(), uid: uid(1) },
        Change::Group { site, gid: "the group".into() },
        // It looks the same in both ways.
        Change::Name { site, name: "12345678".into(), uid: uid(1) },
    ];
    rig.commit(&mut shards[0], None, changes).await.unwrap();
    let found = rig.store.looks(&looks(site, "ANN BE1L")).await.unwrap();
    let holders: Vec<NameHolder> = found.into_values().flatten().collect();
    assert!(holders.contains(&NameHolder::Member(uid(1))));
    let found = rig.store.looks(&looks(site, "The  Group")).await.unwrap();
    assert!(found.into_values().flatten().all(|holder| holder == NameHolder::Group));
    assert!(rig.store.looks(&looks(site, "Ann Ball")).await.unwrap().is_empty());
    assert!(rig.store.looks(&looks(other, "Ann Bell")).await.unwrap().is_empty());
}

/// Goal: names without looks get theirs, in steps; method: names as an earlier release writes them.
#[tokio::test]
async fn made_up_for() {
    let rig = Rig::new().await;
    let (_, mut shards) = rig.owner().await;
    let site = rig.site_with_member(&mut shards[0], uid(1)).await;
    for number in 0..5 {
        sqlx::query("INSERT INTO name (site_id, name, uid) VALUES ($1, $2, $3)")
            .bind(site.0)
            .bind(format!("Ann Bell {number}"))
            .bind(uid(1).0.as_slice())
            .execute(&rig.pool)
            .await
            .unwrap();
    }
    assert!(rig.store.looks(&looks(site, "ann bell 3")).await.unwrap().is_empty());
    let mut after = None;
    for step in ["Ann Bell 2", "Ann Bell 4", ""] {
        after = rig.store.look_at_names(after.as_ref(), 3).await.unwrap();
        assert_eq!(after.as_ref().map_or("", |(_, name)| name.as_str()), step);
    }
    assert!(!rig.store.looks(&looks(site, "ann bell 3")).await.unwrap().is_empty());
    sqlx::query("DELETE FROM name").execute(&rig.pool).await.unwrap();
    assert_eq!(rig.count("SELECT count(*) FROM name_look").await, 0);
}
