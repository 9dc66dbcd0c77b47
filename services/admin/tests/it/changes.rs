//! Changes that workers make: published until answered. The test plays the worker, on a real Redis.

use std::collections::VecDeque;
use std::time::Duration;

use tmtp_admin::{AskError, Changes, Patience};
use tmtp_bus::{Bus, CommandReader, Read, StreamId};
use tmtp_contract::{
    AdminAnswer, AdminChange, AdminOutcome, AdminRequest, AuditNote, Command, Event, EventEntry, Once,
};
use tmtp_domain::{GatewayId, KeyId, RequestId, ShardId, SiteId, WorkerId};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const SHARD: ShardId = ShardId(3);
const SITE: SiteId = SiteId(Uuid::from_u128(1));
/// Short, so that repeating does not take the test long; what is asserted does not depend on it.
const REPEATING: Patience =
    Patience { repeat_after: Duration::from_millis(100), give_up_after: Duration::from_secs(20) };

/// A worker that reads one shard and says what the test wants.
struct Worker {
    bus: Bus,
    id: WorkerId,
    reader: CommandReader,
    /// Read and not yet taken.
    unread: VecDeque<Read>,
    number: u64,
}

impl Worker {
    async fn start(url: &str) -> Self {
        let bus = Bus::connect(url).await.unwrap();
        let id = WorkerId(Uuid::new_v4());
        let (reader, handle) = bus.command_reader(id);
        handle.set_shards(vec![(SHARD, StreamId::default())]);
        Self { bus, id, reader, unread: VecDeque::new(), number: 0 }
    }

    /// The next change, with whom to answer.
    async fn next(&mut self) -> (GatewayId, AdminRequest) {
        while self.unread.is_empty() {
            self.unread.extend(self.reader.next().await.unwrap());
        }
        let read = self.unread.pop_front().unwrap();
        let Command::Admin(request) = &read.entry.commands[0].command else { panic!("{read:?}") };
        assert_eq!(read.entry.commands[0].site, SITE);
        (read.entry.gateway, (**request).clone())
    }

    async fn answer(&mut self, to: GatewayId, request: RequestId) {
        self.number += 1;
        let event = Event::Admin { request, answer: AdminAnswer::Done { outcome: AdminOutcome::Site } };
        let entry = EventEntry::new(self.id, self.number, Vec::new(), vec![event]);
        let octets = tmtp_contract::encode(&entry).unwrap();
        self.bus.append_events_and_trim(&[(to, octets)], &[]).await.unwrap();
    }
}

fn request() -> AdminRequest {
    AdminRequest {
        id: RequestId(Uuid::new_v4()),
        once: Once { key: KeyId(Uuid::new_v4()), text: "a".into(), digest: [1; 32] },
        note: AuditNote { action: "test".into(), target: "it".into(), from: "192.0.2.1".into() },
        change: AdminChange::SiteChanged,
    }
}

async fn changes(url: &str, patience: Patience) -> Changes {
    let changes = Changes::new(Bus::connect(url).await.unwrap(), patience);
    tokio::spawn(changes.clone().listen(CancellationToken::new()));
    changes
}

/// Goal: an answer reaches whoever asked, though others ask too; method: two requests, answered in the other order.
#[tokio::test]
async fn answers_find_their_requests() {
    let url = tmtp_testkit::fresh_redis();
    let mut worker = Worker::start(&url).await;
    let changes = changes(&url, Patience::default()).await;
    let ask = || {
        let changes = changes.clone();
        tokio::spawn(async move { changes.ask(SITE, SHARD, request()).await.unwrap() })
    };
    let both = [ask(), ask()];
    let (node, first) = worker.next().await;
    let (_, second) = worker.next().await;
    worker.answer(node, second.id).await;
    worker.answer(node, first.id).await;
    for asked in both {
        assert_eq!(asked.await.unwrap(), AdminAnswer::Done { outcome: AdminOutcome::Site });
    }
}

/// Goal: neither a lost change nor a lost answer is the end of it; method: the worker lets the first two attempts pass,
/// and the third is the same request and is answered.
#[tokio::test]
async fn a_change_is_repeated_until_it_is_answered() {
    let url = tmtp_testkit::fresh_redis();
    let mut worker = Worker::start(&url).await;
    let changes = changes(&url, REPEATING).await;
    let request = request();
    let wanted = request.clone();
    let asked = tokio::spawn(async move { changes.ask(SITE, SHARD, request).await });
    for _ in 0..2 {
        assert_eq!(worker.next().await.1, wanted);
    }
    let (node, again) = worker.next().await;
    worker.answer(node, again.id).await;
    asked.await.unwrap().unwrap();
}

/// Goal: where nobody answers, whoever asks hears that in time; method: no worker.
#[tokio::test]
async fn nobody_answers() {
    let url = tmtp_testkit::fresh_redis();
    let patience = Patience { give_up_after: Duration::from_millis(300), ..REPEATING };
    let changes = changes(&url, patience).await;
    let refused = changes.ask(SITE, SHARD, request()).await;
    assert!(matches!(refused, Err(AskError::Unanswered)), "{refused:?}");
}
