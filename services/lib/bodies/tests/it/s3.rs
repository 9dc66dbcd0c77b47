//! The back end in an object store: its hand behind the store, and what only it can meet.

use std::fs::File;
use std::time::{Duration, SystemTime};

use tmtp_bodies::{Bodies, Config, Error, Kind, S3};
use tmtp_domain::{BodyId, SiteId};

use crate::suite::{Backend, body, site, write};
use tmtp_testkit::s3::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY};

pub struct Rig {
    bodies: Bodies,
    server: S3Server,
}

pub fn config(server: &S3Server) -> Config {
    Config {
        kind: Kind::S3,
        s3: S3 {
            endpoint: server.endpoint(),
            bucket: BUCKET.to_owned(),
            prefix: "post/bodies".to_owned(),
            access_key: ACCESS_KEY.to_owned(),
            secret_key: SECRET_KEY.into(),
            allow_http: true,
            ..S3::default()
        },
        ..Config::default()
    }
}

impl Rig {
    pub async fn new() -> Self {
        let server = S3Server::start().await.unwrap();
        Self { bodies: Bodies::open(&config(&server)).unwrap(), server }
    }

    fn chunk(&self, site: SiteId, body: BodyId, seq: u64) -> File {
        let path = self.server.file(&format!("post/bodies/{site}/{body}/{seq:010}"));
        File::options().write(true).open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }
}

impl Backend for Rig {
    fn bodies(&self) -> &Bodies {
        &self.bodies
    }

    async fn age(&self, site: SiteId, body: BodyId, seq: u64, by: Duration) {
        self.chunk(site, body, seq).set_modified(SystemTime::now() - by).unwrap();
    }

    async fn damage(&self, site: SiteId, body: BodyId, seq: u64) {
        self.chunk(site, body, seq).set_len(1).unwrap();
    }
}

/// Goal: what else is in the bucket, or under the prefix, is neither reported nor in the way; method: put files there.
#[tokio::test]
async fn foreign_objects_are_passed_over() {
    let rig = Rig::new().await;
    write(&rig.bodies, site(1), body(1), 3, 10).await;
    for key in ["other", "post/bodies-too", "post/bodies/readme", "post/bodies/a/b/c"] {
        let path = rig.server.file(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "x").unwrap();
    }
    let page = rig.bodies.stale(Duration::ZERO, None, 100).await.unwrap();
    assert_eq!(page.bodies.iter().map(|found| found.body).collect::<Vec<_>>(), [body(1)]);
}

/// Goal: more chunks than one listing or one removal holds are walked and removed; method: 1,100 small chunks.
#[tokio::test]
async fn many_chunks_are_listed_and_removed() {
    let rig = Rig::new().await;
    write(&rig.bodies, site(1), body(1), 3, 1).await;
    let first = rig.server.file(&format!("post/bodies/{}/{}/{:010}", site(1), body(1), 0));
    for seq in 1..1_100 {
        std::fs::copy(&first, first.with_file_name(format!("{seq:010}"))).unwrap();
    }
    write(&rig.bodies, site(1), body(2), 3, 1).await;
    let page = rig.bodies.stale(Duration::ZERO, None, 100).await.unwrap();
    assert_eq!(page.bodies.iter().map(|found| found.chunks).collect::<Vec<_>>(), [1_100, 1]);
    rig.bodies.discard(site(1), body(1), 1_100).await.unwrap();
    let page = rig.bodies.stale(Duration::ZERO, None, 100).await.unwrap();
    assert_eq!(page.bodies.iter().map(|found| found.body).collect::<Vec<_>>(), [body(2)]);
}

/// Goal: wrong credentials and a missing bucket are told as such; method: both.
#[tokio::test]
async fn refusals_are_not_transient() {
    let rig = Rig::new().await;
    let mut wrong = config(&rig.server);
    wrong.s3.secret_key = "wrong".into();
    let bodies = Bodies::open(&wrong).unwrap();
    let errors = [
        bodies.ping().await.err(),
        bodies.put_chunk(site(1), body(1), 0, "x".into()).await.err(),
        bodies.stale(Duration::ZERO, None, 1).await.err(),
    ];
    assert!(errors.iter().all(|error| matches!(error, Some(Error::Refused(_)))), "{errors:?}");

    let mut missing = config(&rig.server);
    missing.s3.bucket = "elsewhere".to_owned();
    let bodies = Bodies::open(&missing).unwrap();
    let error = bodies.ping().await.unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error:?}");
}
