//! What a session asks of the gateway it lives in, answered without chance or limits.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use tmtp_domain::{BodyId, NodeSecret, ShardId, Site, SiteId, Uid};
use tmtp_gateway::session::{Count, Host, Intake, Trace};
use tmtp_wire::Op;
use uuid::Uuid;

/// Random values that are only different.
pub(super) struct Chance {
    site: Arc<Site>,
    drawn: Cell<u64>,
    pub(super) reserved: Cell<usize>,
    /// What was published waits.
    pub(super) stuck: Cell<bool>,
}

impl Chance {
    /// The only site there is.
    pub(super) fn at(site: Arc<Site>) -> Self {
        Self { site, drawn: Cell::default(), reserved: Cell::default(), stuck: Cell::default() }
    }

    fn draw<const N: usize>(&self) -> [u8; N] {
        self.drawn.set(self.drawn.get() + 1);
        // Every octet differs from draw to draw, so that mix-ups show.
        let mut octets = [0; N];
        for (place, octet) in (1_u64..).zip(&mut octets) {
            *octet =
                (self.drawn.get().wrapping_mul(place.wrapping_mul(2).wrapping_add(0x9e37_79b9_7f4a_7c15))
                    >> 56)
                    .to_le_bytes()[0];
        }
        octets[..8].copy_from_slice(&self.drawn.get().to_be_bytes());
        octets
    }
}

impl Host for Chance {
    fn site(&self, site: SiteId) -> Option<Arc<Site>> {
        (self.site.id == site).then(|| Arc::clone(&self.site))
    }

    fn uid(&self) -> Uid {
        Uid(self.draw())
    }

    fn secret(&self) -> NodeSecret {
        NodeSecret(self.draw())
    }

    fn body_id(&self) -> BodyId {
        BodyId(Uuid::from_bytes(self.draw()))
    }

    fn reserve(&self, octets: usize) -> bool {
        self.reserved.set(self.reserved.get() + octets);
        true
    }

    fn release(&self, octets: usize) {
        self.reserved
            .set(self.reserved.get().checked_sub(octets).expect("no more is released than was reserved"));
    }

    fn intake(&self, _: ShardId) -> Intake {
        Intake::All
    }

    fn is_taken(&self, _: ShardId, _: Duration) -> bool {
        !self.stuck.get()
    }

    fn count(&self, _: Count) {}

    fn trace(&self, _: Op) -> Option<Box<Trace>> {
        None
    }
}
