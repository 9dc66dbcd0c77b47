//! Everything that is known of one message: packs of steps, what the home has in memory, and what happened to the devices
//! it was queued for.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use tmtp_contract::{AdminChange, AdminOutcome, Step, StepKind, TracePack};
use tmtp_domain::{MsgId, NodeNum, Site, SiteId, Uid};
use tmtp_store::{DroppedQueue, Reader};
use tokio::time::timeout;

use crate::api::Problem;
use crate::api::ask::Todo;
use crate::api::caller::Caller;
use crate::api::msgid::MsgIdText;

/// For so long the site's worker is waited for to say what it has in memory.
const HOME_WAIT: Duration = Duration::from_secs(2);
/// A spill while it is asked moves steps to rows: so often it is asked again.
const TURNS: usize = 3;
/// Packs that are read at once.
const PAGE: i64 = 8;
/// Packs that are looked at for one message; only one for thousands, who come back one by one, can have more.
const PACKS_MAX: usize = 1_000;

/// A device, as steps name it.
pub(super) type Device = (Uid, NodeNum);

/// What is known of a message.
pub(super) struct Found {
    /// Its steps, each once.
    pub(super) steps: Vec<Step>,
    /// For how many devices it waits, if that is known.
    pub(super) waiting: Option<u32>,
    /// There are no steps beside these.
    pub(super) is_whole: bool,
    /// Queues that were dropped while it waited there.
    pub(super) dropped: Vec<DroppedQueue>,
    /// Who of those whom the steps name are members.
    pub(super) members: HashSet<Uid>,
}

/// What rows say.
#[derive(Default)]
struct Rows {
    steps: Vec<Step>,
    last: Option<(i64, i64)>,
    packs: usize,
    is_cut: bool,
    owed: Option<i32>,
}

/// What the home says.
struct Memory {
    pack: Box<TracePack>,
    owed: u32,
    acks: u32,
}

/// Gathers it. No pack was written between the looks at the rows before and behind the home's answer: so what the home
/// has in memory is in none of them.
pub(super) async fn gather<P>(caller: &Caller<P>, site: &Site, id: MsgId) -> Result<Found, Problem> {
    let mut rows = Rows::default();
    rows.read_on(&mut caller.read().await?, site.id, id).await?;
    let mut memory = None;
    for _ in 0..TURNS {
        memory = ask(caller, site, id).await;
        let seen = rows.packs;
        rows.read_on(&mut caller.read().await?, site.id, id).await?;
        if memory.is_none() || rows.packs == seen {
            break;
        }
    }
    let in_memory = memory.as_ref().map(|memory| memory.pack.steps_of(id)).unwrap_or_default();
    let steps = each_once(rows.steps.iter().copied().chain(in_memory));
    let mut read = caller.read().await?;
    let dropped = read.dropped_queues(site.id, id, &unfinished(&steps)).await?;
    let named: BTreeSet<Uid> = steps.iter().filter_map(|step| step.uid).collect();
    let members = read.members_among(site.id, &named.into_iter().collect::<Vec<_>>()).await?;
    Ok(Found {
        steps,
        waiting: waiting(rows.owed, memory.as_ref()),
        is_whole: memory.is_some() && !rows.is_cut,
        dropped,
        members: members.into_iter().collect(),
    })
}

impl Rows {
    /// Reads what was written since the last look.
    async fn read_on(&mut self, read: &mut Reader, site: SiteId, id: MsgId) -> Result<(), Problem> {
        loop {
            let after = self.last.unwrap_or((-1, 0));
            let pages = read.trace_pages(site, (TracePack::span(id), id), after, PAGE).await?;
            let is_end = i64::try_from(pages.len()).unwrap_or(i64::MAX) < PAGE;
            self.packs += pages.len();
            for page in pages {
                self.last = Some(page.key);
                match tmtp_contract::decode::<TracePack>(&page.pack) {
                    Ok(pack) => self.steps.extend(pack.steps_of(id)),
                    Err(error) => {
                        tracing::error!(message.id = %id, error = &error as &dyn std::error::Error, "unreadable trace");
                        self.is_cut = true;
                    }
                }
            }
            if is_end {
                break;
            }
            if self.packs >= PACKS_MAX {
                self.is_cut = true;
                break;
            }
        }
        self.owed = read.owed_in_rows(site, id).await?;
        Ok(())
    }
}

/// What the site's worker has in memory, if it says so in time.
async fn ask<P>(caller: &Caller<P>, site: &Site, id: MsgId) -> Option<Memory> {
    let target = MsgIdText(id).to_string();
    let todo = Todo { action: "message.trace", target: &target, change: AdminChange::Trace { id } };
    let done = timeout(HOME_WAIT, caller.ask_anew(site, todo)).await.ok()?.ok()?;
    match done.outcome {
        AdminOutcome::Trace { pack, owed, acks } => Some(Memory { pack, owed, acks }),
        _ => None,
    }
}

/// A message is owed to devices in memory or in rows, not in both.
fn waiting(in_rows: Option<i32>, memory: Option<&Memory>) -> Option<u32> {
    let in_rows = in_rows.map(|owed| u32::try_from(owed).unwrap_or(0));
    let Some(memory) = memory else { return in_rows };
    Some(if memory.owed > 0 { memory.owed } else { in_rows.unwrap_or(0).saturating_sub(memory.acks) })
}

/// A device acks a message again when its first ack was lost, and a spill that came between the looks tells steps twice.
fn each_once(steps: impl Iterator<Item = Step>) -> Vec<Step> {
    let mut known = HashSet::new();
    let mut once = HashSet::new();
    let is_new = |step: &Step| {
        let happens_once = matches!(step.kind, StepKind::Queued | StepKind::Acked) && step.uid.is_some();
        known.insert(*step) && (!happens_once || once.insert((step.kind, step.uid, step.node)))
    };
    steps.filter(is_new).collect()
}

/// Devices for which it was queued, and for which no end is known; none when not all ends are listed.
pub(super) fn unfinished(steps: &[Step]) -> Vec<Device> {
    let ended = |step: &&Step| matches!(step.kind, StepKind::Acked | StepKind::Expired);
    if steps.iter().filter(ended).any(|step| step.uid.is_none()) {
        return Vec::new();
    }
    let device = |step: &Step| Some((step.uid?, step.node));
    let ends: HashSet<Device> = steps.iter().filter(ended).filter_map(device).collect();
    let queued = steps.iter().filter(|step| step.kind == StepKind::Queued).filter_map(device);
    queued.filter(|device| !ends.contains(device)).collect()
}
