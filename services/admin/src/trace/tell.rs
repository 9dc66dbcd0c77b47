//! Steps as the API shows them: in order, without users who are not members any more, and with what became of devices
//! that never got the message.

use std::collections::HashSet;

use tmtp_contract::{Step, StepKind};
use tmtp_domain::{NodeNum, Uid};
use tmtp_store::DropReason;

use super::gather::{Device, Found, unfinished};
use super::{DeviceCounts, DropWord, MessageTrace, StepWord, TraceStep};
use crate::api::id::GatewayRef;
use crate::api::msgid::MsgIdText;
use crate::api::time::Time;
use crate::api::uid::UidText;

/// Steps that are shown of one message.
const STEPS_MAX: usize = 1_000;

/// Tells what is known of a message.
pub(super) fn tell(id: MsgIdText, found: Found) -> MessageTrace {
    let count = |kind: StepKind| {
        let of_kind = found.steps.iter().filter(|step| step.kind == kind);
        of_kind.fold(0_u32, |sum, step| sum.saturating_add(step.devices))
    };
    let (queued, acked, expired) =
        (count(StepKind::Queued), count(StepKind::Acked), count(StepKind::Expired));
    let mut steps: Vec<TraceStep> = found.steps.iter().map(|step| shown(step, &found.members)).collect();
    let ends = ends(&found);
    let dropped = u32::try_from(ends.len()).unwrap_or(u32::MAX);
    steps.extend(ends);
    // What has no time is last.
    steps.sort_by_key(|step| (step.at.is_none(), step.at, step.step));
    let is_listed =
        steps.len() <= STEPS_MAX && found.steps.iter().all(|step| step.uid.is_some() || step.devices == 0);
    steps.truncate(STEPS_MAX);
    MessageTrace {
        msgid: id,
        devices: DeviceCounts { queued, acked, expired, dropped, waiting: found.waiting },
        steps,
        complete: found.is_whole && is_listed,
    }
}

fn shown(step: &Step, members: &HashSet<Uid>) -> TraceStep {
    let word = match step.kind {
        StepKind::Accepted => StepWord::Accepted,
        StepKind::Committed => StepWord::Committed,
        StepKind::Queued => StepWord::Queued,
        StepKind::Sent => StepWord::Sent,
        StepKind::Acked => StepWord::Acked,
        StepKind::Expired => StepWord::Expired,
        StepKind::Returned => StepWord::Returned,
    };
    let is_at_devices =
        matches!(step.kind, StepKind::Queued | StepKind::Sent | StepKind::Acked | StepKind::Expired);
    TraceStep {
        devices: is_at_devices.then_some(step.devices),
        gateway: step.gateway.map(|gateway| GatewayRef::of(gateway.0)),
        ..plain(word, Some(step.at_ms), step.uid.filter(|uid| members.contains(uid)), step.node)
    }
}

/// What became of devices that never acked the message, and for which it does not wait.
fn ends(found: &Found) -> Vec<TraceStep> {
    let end = |(uid, node): Device| {
        let dropped = found.dropped.iter().find(|dropped| (dropped.uid, dropped.node) == (uid, node));
        match dropped {
            Some(dropped) => Some(TraceStep {
                devices: Some(1),
                reason: Some(reason(dropped.reason)),
                ..plain(StepWord::Dropped, Some(dropped.at_ms), Some(uid), node)
            }),
            None if found.members.contains(&uid) => None,
            None => Some(TraceStep { devices: Some(1), ..plain(StepWord::Erased, None, None, node) }),
        }
    };
    unfinished(&found.steps).into_iter().filter_map(end).collect()
}

fn plain(step: StepWord, at_ms: Option<i64>, uid: Option<Uid>, node: NodeNum) -> TraceStep {
    TraceStep {
        at: at_ms.map(Time),
        step,
        uid: uid.map(UidText),
        device: Some(node.0).filter(|num| *num != 0),
        devices: None,
        gateway: None,
        reason: None,
    }
}

fn reason(reason: DropReason) -> DropWord {
    match reason {
        DropReason::Admin => DropWord::Admin,
        DropReason::Revoked => DropWord::Revoked,
        DropReason::Deactivated => DropWord::Deactivated,
        DropReason::Quiet => DropWord::Quiet,
    }
}
