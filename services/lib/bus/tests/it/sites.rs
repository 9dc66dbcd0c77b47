//! The directory of sites.

use redis::cmd;
use tmtp_domain::policy::PingPolicy;
use tmtp_domain::{Policy, Registration, ShardId, Site, SiteId, SiteStatus};
use uuid::Uuid;

use crate::support::{Place, gateway};

fn site(n: u128, revision: i64) -> Site {
    Site {
        id: SiteId(Uuid::from_u128(n)),
        revision,
        shard: ShardId(3),
        name: format!("Site {n} at {revision}"),
        domains: vec![format!("s{n}.example")],
        registration: Registration::Open,
        status: SiteStatus::Active,
        // Every other one has a policy.
        policy: Policy {
            pings: PingPolicy { allowed: n.is_multiple_of(2), per_day: None, failed_max: None },
            ..Policy::default()
        },
        providers: Vec::new(),
        notice: None,
    }
}

/// Goal: readers find what is new, in order, and nothing goes back; method: publish newer and older, ask since.
#[tokio::test]
async fn what_is_new_is_found() {
    let place = Place::new().await;
    let bus = &place.bus;
    assert_eq!(bus.sites_revision().await.unwrap(), 0);
    assert_eq!(bus.sites_since(0).await.unwrap(), []);
    bus.publish_sites(&[site(2, 7), site(1, 5)], 8).await.unwrap();
    assert_eq!(bus.sites_since(0).await.unwrap(), [site(1, 5), site(2, 7)]);
    assert_eq!(bus.sites_since(5).await.unwrap(), [site(2, 7)]);
    assert_eq!(bus.sites_since(7).await.unwrap(), []);
    assert_eq!(bus.gateway_beat(gateway(1), 0, 1).await.unwrap().sites_revision, 8);

    // Somebody slower publishes what was read before.
    bus.publish_sites(&[site(1, 9)], 9).await.unwrap();
    bus.publish_sites(&[site(1, 5), site(2, 7)], 8).await.unwrap();
    assert_eq!(bus.sites_since(0).await.unwrap(), [site(2, 7), site(1, 9)]);
    assert_eq!(bus.sites_revision().await.unwrap(), 9);

    bus.publish_sites(&[], 12).await.unwrap();
    assert_eq!(bus.sites_revision().await.unwrap(), 12);
    bus.forget_sites(&[site(2, 7).id]).await.unwrap();
    assert_eq!(bus.sites_since(0).await.unwrap(), [site(1, 9)]);
}

/// Goal: a directory of many pages is written and read completely; method: 1,234 sites, of which some share a revision.
#[tokio::test]
async fn many_sites() {
    let place = Place::new().await;
    let sites: Vec<Site> = (0..1_234).map(|n| site(n, i64::try_from(n / 2).unwrap() + 1)).collect();
    place.bus.publish_sites(&sites, 617).await.unwrap();
    assert_eq!(place.bus.sites_since(0).await.unwrap().len(), 1_234);
    assert_eq!(place.bus.sites_since(600).await.unwrap().len(), 34);
    assert_eq!(place.bus.sites_revision().await.unwrap(), 617);
}

/// Goal: a site that this release cannot read hides no other; method: junk in the place of one.
#[tokio::test]
async fn an_unreadable_site_is_left_out() {
    let place = Place::new().await;
    place.bus.publish_sites(&[site(1, 1), site(2, 2)], 2).await.unwrap();
    place.raw::<()>(cmd("HSET").arg("tmtp:sites").arg(site(1, 1).id.to_string()).arg("junk")).await;
    assert_eq!(place.bus.sites_since(0).await.unwrap(), [site(2, 2)]);
}
