//! The delivery trace: the steps of messages on their way, without anything that a message says or is about. Packed as
//! columns, many messages in one row: that costs some tens of octets for a message.
//!
//! A pack has the steps of one site's messages whose ids are of one *span* of time ([`TracePack::span`]) that were taken
//! between two spills. So whoever asks for a message reads the packs of its span, and no others, however late its last
//! step was taken.

use std::borrow::Borrow;
use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use tmtp_domain::{GatewayId, MsgId, NodeNum, Uid};

use crate::{VERSION, Versioned};

/// What happened to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum StepKind {
    /// Its home took the command that it comes from. Of the sender, if that is a member, and its node, if it has one.
    Accepted = 1,
    /// That is durable.
    Committed,
    /// It is owed to a device.
    Queued,
    /// It was handed to a gateway for a session of a device; each time.
    Sent,
    /// A device acked it.
    Acked,
    /// It had waited too long for a device, and was dropped.
    Expired,
    /// Its sender was told that it had waited too long.
    Returned,
}

impl StepKind {
    /// All of them, in the order of their numbers, which stand in packs and never change.
    pub const ALL: [Self; 7] = [
        Self::Accepted,
        Self::Committed,
        Self::Queued,
        Self::Sent,
        Self::Acked,
        Self::Expired,
        Self::Returned,
    ];

    fn to_octet(self) -> u8 {
        self as u8
    }

    /// `None` for a kind of a later release.
    fn from_octet(octet: u8) -> Option<Self> {
        Self::ALL.get(usize::from(octet.checked_sub(1)?)).copied()
    }

    /// It is a step at devices.
    fn counts_devices(self) -> bool {
        matches!(self, Self::Queued | Self::Sent | Self::Acked | Self::Expired)
    }
}

/// A step of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Step {
    /// What.
    pub kind: StepKind,
    /// When (ms since 1970).
    pub at_ms: i64,
    /// Whose device, or whose message.
    pub uid: Option<Uid>,
    /// Which of the user's devices; 0 for none.
    pub node: NodeNum,
    /// Where the device was connected; of [`StepKind::Sent`].
    pub gateway: Option<GatewayId>,
    /// At how many devices: 1 at the device that is named; without a name, at so many that are not listed. 0 for steps
    /// that are not at devices.
    pub devices: u32,
}

impl Step {
    /// A step at one device.
    pub fn at_device(kind: StepKind, at_ms: i64, uid: Uid, node: NodeNum) -> Self {
        Self { kind, at_ms, uid: Some(uid), node, gateway: None, devices: 1 }
    }

    /// A step at devices that are not listed.
    pub fn at_devices(kind: StepKind, at_ms: i64, devices: u32) -> Self {
        Self { kind, at_ms, uid: None, node: NodeNum(0), gateway: None, devices }
    }

    /// A step that is not at devices.
    pub fn by(kind: StepKind, at_ms: i64, uid: Option<Uid>, node: NodeNum) -> Self {
        Self { kind, at_ms, uid, node, gateway: None, devices: 0 }
    }
}

/// Steps of many messages in one row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracePack {
    /// Version of the encoding.
    pub v: u16,
    /// Users, to whom [`Self::who`] refers.
    #[serde(rename = "u", default, skip_serializing_if = "Vec::is_empty")]
    uids: Vec<Uid>,
    /// Gateways, to which [`Self::via`] refers.
    #[serde(rename = "g", default, skip_serializing_if = "Vec::is_empty")]
    gateways: Vec<GatewayId>,
    /// The messages in the order of their ids: the first, then by how much each is above the one before.
    #[serde(rename = "i")]
    ids: Vec<u64>,
    /// How many steps each of them has.
    #[serde(rename = "c")]
    counts: Vec<u32>,
    /// Of each step: what.
    #[serde(rename = "k", with = "serde_bytes")]
    kinds: Vec<u8>,
    /// Of each step: when; the first (ms since 1970), then by how much each is after the one before.
    #[serde(rename = "t")]
    times: Vec<i64>,
    /// Of each step: the place of its user in [`Self::uids`], counted from 1; 0 for none.
    #[serde(rename = "w")]
    who: Vec<u32>,
    /// Of each step: the device of its user; without a user, at how many devices.
    #[serde(rename = "n")]
    numbers: Vec<u32>,
    /// Of each step that was sent, in order: the place of its gateway in [`Self::gateways`], counted from 1; 0 for none.
    #[serde(rename = "s", default, skip_serializing_if = "Vec::is_empty")]
    via: Vec<u32>,
}

impl Versioned for TracePack {
    fn version(&self) -> u16 {
        self.v
    }
}

/// Which of the steps of one kind of one message are listed.
#[derive(Default)]
struct Cut {
    listed: usize,
    left_out: u32,
    at_ms: i64,
}

impl TracePack {
    /// Devices that are listed of one message for one kind of step; of more only the number is kept.
    pub const LISTED_MAX: usize = 100;

    /// The span of time that a message's id is of: some four and a half minutes.
    pub fn span(id: MsgId) -> i64 {
        (id.0 >> 38).cast_signed()
    }

    /// Packs steps, which are in the order of the messages' ids.
    pub fn new(steps: &[impl Borrow<(MsgId, Step)>]) -> Self {
        let mut pack = Self {
            v: VERSION,
            uids: Vec::new(),
            gateways: Vec::new(),
            ids: Vec::new(),
            counts: Vec::new(),
            kinds: Vec::with_capacity(steps.len()),
            times: Vec::with_capacity(steps.len()),
            who: Vec::with_capacity(steps.len()),
            numbers: Vec::with_capacity(steps.len()),
            via: Vec::new(),
        };
        let mut places: HashMap<Uid, u32> = HashMap::new();
        let (mut last_id, mut last_ms) = (0, 0);
        for message in steps.chunk_by(|a, b| a.borrow().0 == b.borrow().0) {
            let Some((id, _)) = message.first().map(Borrow::borrow) else { continue };
            pack.ids.push(id.0.wrapping_sub(last_id));
            last_id = id.0;
            let before = pack.kinds.len();
            if message.len() <= Self::LISTED_MAX {
                for (_, step) in message.iter().map(Borrow::borrow) {
                    pack.add(step, &mut places, &mut last_ms);
                }
            } else {
                for step in cut(message) {
                    pack.add(&step, &mut places, &mut last_ms);
                }
            }
            pack.counts.push(u32::try_from(pack.kinds.len() - before).unwrap_or(u32::MAX));
        }
        pack
    }

    fn add(&mut self, step: &Step, places: &mut HashMap<Uid, u32>, last_ms: &mut i64) {
        self.kinds.push(step.kind.to_octet());
        self.times.push(step.at_ms.wrapping_sub(*last_ms));
        *last_ms = step.at_ms;
        let uids = &mut self.uids;
        let who = step.uid.map(|uid| {
            *places.entry(uid).or_insert_with(|| {
                uids.push(uid);
                place(uids.len())
            })
        });
        self.who.push(who.unwrap_or(0));
        self.numbers.push(if who.is_some() { u32::try_from(step.node.0).unwrap_or(0) } else { step.devices });
        if step.kind == StepKind::Sent {
            let via = step.gateway.map(|gateway| {
                let known = self.gateways.iter().position(|known| *known == gateway);
                let index = known.unwrap_or_else(|| {
                    self.gateways.push(gateway);
                    self.gateways.len() - 1
                });
                place(index + 1)
            });
            self.via.push(via.unwrap_or(0));
        }
    }

    /// The steps of one message, in the order in which they were taken. Those of kinds that this release does not know
    /// are left out, and so is what a torn pack has lost.
    pub fn steps_of(&self, id: MsgId) -> Vec<Step> {
        self.steps().filter(|(of, _)| *of == id).map(|(_, step)| step).collect()
    }

    /// All steps, message by message.
    pub fn steps(&self) -> impl Iterator<Item = (MsgId, Step)> {
        let ids = self.ids.iter().scan(0_u64, |last, more| {
            *last = last.wrapping_add(*more);
            Some(MsgId(*last))
        });
        let of = ids.zip(&self.counts).flat_map(|(id, count)| (0..*count).map(move |_| id));
        let times = self.times.iter().scan(0_i64, |last, more| {
            *last = last.wrapping_add(*more);
            Some(*last)
        });
        let mut via = self.via.iter();
        let columns = of.zip(&self.kinds).zip(times).zip(self.who.iter().zip(&self.numbers));
        columns.filter_map(move |(((id, kind), at_ms), (who, number))| {
            let kind = StepKind::from_octet(*kind)?;
            let gateway = (kind == StepKind::Sent).then(|| named(&self.gateways, *via.next()?)).flatten();
            let uid = named(&self.uids, *who);
            let node = uid.and_then(|_| i16::try_from(*number).ok()).map_or(NodeNum(0), NodeNum);
            let devices = if uid.is_none() { *number } else { u32::from(kind.counts_devices()) };
            Some((id, Step { kind, at_ms, uid, node, gateway, devices }))
        })
    }
}

/// The steps of one message with at most [`TracePack::LISTED_MAX`] listed of each kind, and the number of the others.
fn cut(message: &[impl Borrow<(MsgId, Step)>]) -> Vec<Step> {
    let mut cuts: HashMap<StepKind, Cut> = HashMap::new();
    let mut kept = Vec::new();
    for (_, step) in message.iter().map(Borrow::borrow) {
        let cut = cuts.entry(step.kind).or_default();
        let is_listed =
            !step.kind.counts_devices() || step.uid.is_some() && cut.listed < TracePack::LISTED_MAX;
        if is_listed {
            cut.listed += 1;
            kept.push(*step);
        } else {
            cut.left_out = cut.left_out.saturating_add(step.devices);
            cut.at_ms = step.at_ms;
        }
    }
    for kind in StepKind::ALL {
        if let Some(cut) = cuts.get(&kind).filter(|cut| cut.left_out > 0) {
            kept.push(Step::at_devices(kind, cut.at_ms, cut.left_out));
        }
    }
    kept
}

fn place(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// What stands at a place that is counted from 1.
fn named<T: Copy>(list: &[T], place: u32) -> Option<T> {
    list.get(usize::try_from(place).ok()?.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a message for thousands of devices costs a bounded number of steps, and none of them goes uncounted; method:
    /// 250 devices that got it and acked it, beside a message for one.
    #[test]
    fn long_lists_are_cut() {
        let uid = |n: u8| Uid([n; 20]);
        let mut steps = vec![(MsgId(5), Step::by(StepKind::Accepted, 7, Some(uid(0)), NodeNum(1)))];
        for kind in [StepKind::Queued, StepKind::Acked] {
            steps.extend((0..250).map(|n| (MsgId(5), Step::at_device(kind, 8, uid(n), NodeNum(1)))));
        }
        let other = Step::at_device(StepKind::Queued, 9, uid(3), NodeNum(2));
        steps.push((MsgId(6), other));
        let pack = TracePack::new(&steps);
        let found = pack.steps_of(MsgId(5));
        for kind in [StepKind::Queued, StepKind::Acked] {
            let of_kind: Vec<&Step> = found.iter().filter(|step| step.kind == kind).collect();
            assert_eq!(of_kind.len(), TracePack::LISTED_MAX + 1);
            assert_eq!(of_kind.iter().map(|step| step.devices).sum::<u32>(), 250);
            assert_eq!(of_kind.iter().filter(|step| step.uid.is_none()).count(), 1);
        }
        assert_eq!(found[0], steps[0].1);
        assert_eq!(pack.steps_of(MsgId(6)), [other]);
        assert_eq!(pack.steps_of(MsgId(7)), []);
    }

    /// Goal: a message that reaches its one device costs some tens of octets; method: a thousand of them between fifty
    /// users, in order, and the length of their pack.
    #[test]
    fn packs_are_small() {
        let steps: Vec<(MsgId, Step)> = (0..1_000_u64)
            .flat_map(|n| {
                let at = 1_790_000_000_000 + n.cast_signed();
                let (from, to) = (Uid([u8::try_from(n % 50).unwrap_or(0); 20]), Uid([51; 20]));
                let sent = Step {
                    gateway: Some(GatewayId(uuid::Uuid::nil())),
                    ..Step::at_device(StepKind::Sent, at + 1, to, NodeNum(1))
                };
                [
                    Step::by(StepKind::Accepted, at, Some(from), NodeNum(1)),
                    Step::at_device(StepKind::Queued, at, to, NodeNum(1)),
                    Step::by(StepKind::Committed, at + 1, None, NodeNum(0)),
                    sent,
                    Step::at_device(StepKind::Acked, at + 9, to, NodeNum(1)),
                ]
                .map(|step| (MsgId(1_790_000_000_000_000_000 + n * 1_000_003), step))
            })
            .collect();
        let pack = TracePack::new(&steps);
        assert_eq!(pack.steps().collect::<Vec<_>>(), steps);
        let octets = crate::encode(&pack).unwrap_or_default().len();
        assert!((10_000..40_000).contains(&octets), "{octets}");
    }
}
