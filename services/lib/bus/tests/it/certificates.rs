//! The directory of certificates, and what certificate authorities are answered.

use redis::cmd;
use tmtp_domain::{CertificateContent, CertificateId, SiteCertificate, SiteId};
use uuid::Uuid;

use crate::support::{DEADLINE, Place, gateway};

fn certificate(n: u128, revision: i64, removed: bool) -> (SiteCertificate, CertificateContent) {
    let certificate = SiteCertificate {
        id: CertificateId(Uuid::from_u128(n)),
        site: SiteId(Uuid::from_u128(7)),
        revision,
        names: vec![format!("s{n}.example")],
        not_after: 1_000 + revision,
        removed,
    };
    let content = CertificateContent {
        chain: if removed {
            Vec::new()
        } else {
            vec![vec![u8::try_from(n % 256).unwrap_or_default(); 900]; 2]
        },
        sealed_key: if removed { Vec::new() } else { vec![1; 200] },
    };
    (certificate, content)
}

fn known(all: &[(SiteCertificate, CertificateContent)]) -> Vec<SiteCertificate> {
    all.iter().map(|(certificate, _)| certificate.clone()).collect()
}

/// Goal: gateways hear what is new and what is removed, in order, and nothing goes back; method: publish, replace,
/// publish what is older, remove, forget.
#[tokio::test]
async fn what_is_new_is_found() {
    let place = Place::new().await;
    let bus = &place.bus;
    assert_eq!(bus.certificates_revision().await.unwrap(), 0);
    let first = [certificate(1, 5, false), certificate(2, 7, false)];
    bus.publish_certificates(&first, 7).await.unwrap();
    assert_eq!(bus.certificates_since(0).await.unwrap(), known(&first));
    assert_eq!(bus.certificates_since(5).await.unwrap(), known(&first[1..]));
    assert_eq!(bus.gateway_beat(gateway(1), 0, 1).await.unwrap().certificates_revision, 7);
    assert_eq!(bus.certificate_content(first[0].0.id).await.unwrap().as_ref(), Some(&first[0].1));

    let removed = [certificate(1, 9, true)];
    bus.publish_certificates(&removed, 9).await.unwrap();
    bus.publish_certificates(&first, 7).await.unwrap();
    assert_eq!(bus.certificates_since(7).await.unwrap(), known(&removed));
    assert_eq!(bus.certificate_content(first[0].0.id).await.unwrap(), None);
    assert_eq!(bus.certificates_revision().await.unwrap(), 9);

    let mut ids = bus.certificate_ids().await.unwrap();
    ids.sort_unstable();
    assert_eq!(ids, [first[0].0.id, first[1].0.id]);
    bus.forget_certificates(&[removed[0].0.id]).await.unwrap();
    assert_eq!(bus.certificates_since(0).await.unwrap(), known(&first[1..]));
}

/// Goal: as many certificates as a deployment may have are published and read; method: 1,234 of them, and one that
/// cannot be decoded, which hides no other.
#[tokio::test]
async fn many_certificates() {
    let place = Place::new().await;
    let all: Vec<_> = (0..1_234).map(|n| certificate(n, i64::try_from(n).unwrap() + 1, false)).collect();
    place.bus.publish_certificates(&all, 1_234).await.unwrap();
    assert_eq!(place.bus.certificates_since(0).await.unwrap(), known(&all));
    assert_eq!(place.bus.certificates_revision().await.unwrap(), 1_234);
    let id = all[0].0.id;
    place.raw::<()>(cmd("HSET").arg("tmtp:certificates").arg(id.to_string()).arg("junk")).await;
    assert_eq!(place.bus.certificates_since(0).await.unwrap().len(), 1_233);
    place.raw::<()>(cmd("HSET").arg("tmtp:certificates:contents").arg(id.to_string()).arg("junk")).await;
    assert!(place.bus.certificate_content(id).await.is_err());
}

/// Goal: an answer to a challenge is there until it is withdrawn or its time is over; method: both.
#[tokio::test]
async fn challenges() {
    let place = Place::new().await;
    let bus = &place.bus;
    assert_eq!(bus.challenge("a.example").await.unwrap(), None);
    bus.offer_challenge("a.example", &[1; 32], DEADLINE * 100).await.unwrap();
    assert_eq!(bus.challenge("a.example").await.unwrap(), Some([1; 32]));
    assert_eq!(bus.challenge("b.example").await.unwrap(), None);
    bus.withdraw_challenge("a.example").await.unwrap();
    assert_eq!(bus.challenge("a.example").await.unwrap(), None);

    bus.offer_challenge("a.example", &[2; 32], std::time::Duration::from_millis(1)).await.unwrap();
    let gone = async || bus.challenge("a.example").await.unwrap().is_none().then_some(());
    tmtp_testkit::eventually(DEADLINE, "the end of a challenge", gone).await.unwrap();
}
