//! Who the owner is: workers that stop and take over, and gateways that die.

use std::collections::HashSet;

use tmtp_domain::{GatewayId, WorkerId};
use tmtp_store::OwnedShard;
use tmtp_worker::home::{Home, Now};
use uuid::Uuid;

use super::super::Fate;
use super::super::database::Database;
use super::super::gateway::Gateway;
use super::{CLOCK_BEHIND, Cluster, LIMITS};

impl Cluster<'_> {
    /// The owner stops, and another one takes over.
    pub(super) async fn stop(&mut self, forgetful: u8) {
        self.worker = self.next_worker().await;
        self.take_over(forgetful).await;
    }

    /// Another worker takes the shard from the owner, whose lease has ended.
    pub(super) async fn next_worker(&mut self) -> WorkerId {
        self.database.end(self.worker).await;
        self.workers_made += 1;
        let worker = WorkerId(Uuid::from_u128(self.workers_made));
        let row = self.database.claim(worker).await;
        assert!(row.epoch > self.home.epoch(), "every owner has an epoch of its own");
        worker
    }

    /// The new owner rebuilds the home from what is left, and calls the sessions.
    pub(super) async fn take_over(&mut self, forgetful: u8) {
        self.now.nanos -= CLOCK_BEHIND * u64::from(forgetful & 1);
        let row = self.database.store.owned(self.worker).await.unwrap().remove(0);
        self.home = recover(self.database, row, HashSet::from([self.gateway.id]), self.now).await;
        self.read = self.stream.iter().take_while(|(id, ..)| *id <= row.last_entry).count();
        let again = self.stream[..self.read].iter().any(|(id, ..)| self.home.advance(*id));
        assert!(!again, "an entry that was committed is applied again");
        self.reference.owner_stops(row.epoch);
        self.check_owed().await;
        self.gateway.attach_all(forgetful);
        self.gateway.present(row.epoch);
    }

    /// The gateway dies. The owner reads all it has said before it notices; what of that had no effect may not be recorded
    /// as read, and then the next owner reads it again.
    pub(super) async fn gateway_dies(&mut self) {
        self.process(self.stream.len(), Fate::Told, 0).await;
        self.gateway_is_gone(self.gateway.id);
        self.reference.stop_waiting();
        self.gateways_made += 1;
        self.gateway = Gateway::new(self.site, self.gateways_made);
    }

    /// The time of a lease goes by: sessions of dead gateways end, as they do in the engine.
    pub(super) fn end_strangers(&mut self) {
        for gateway in self.home.gateways() {
            if gateway != self.gateway.id {
                self.strangers += 1;
                self.gateway_is_gone(gateway);
            }
        }
    }

    pub(super) fn gateway_is_gone(&mut self, gateway: GatewayId) {
        self.home.gateway_is_gone(gateway);
        self.reference.gateway_is_gone(gateway);
    }
}

/// The home of the shard, from what is left of it.
pub(super) async fn recover(
    database: &Database,
    row: OwnedShard,
    absent: HashSet<GatewayId>,
    now: Now,
) -> Home {
    let window = i64::try_from(LIMITS.dedupe_window.as_millis()).unwrap();
    let left = database.store.recover(row.shard, now.millis() - window).await.unwrap();
    Home::recover(&row, &left, LIMITS, absent, now).unwrap()
}
