//! Packs of a delivery trace, of the present encoding.

use tmtp_contract::{Step, StepKind, TracePack};
use tmtp_domain::{GatewayId, MsgId, NodeNum};

use super::{Case, Value, uid, uuid, written};

/// Two messages: one on its whole way to two devices, and one that expires at a device and at many others.
pub(super) fn pack() -> TracePack {
    const AT: i64 = 1_790_000_000_000;
    let [first, second] = [0, 70_000].map(|more| MsgId(1_790_000_000_000_000_000 + more));
    let (ann, ben) = (uid(0x40), uid(0x50));
    let sent = Step {
        gateway: Some(GatewayId(uuid(0x60))),
        ..Step::at_device(StepKind::Sent, AT + 3, ben, NodeNum(1))
    };
    TracePack::new(&[
        (first, Step::by(StepKind::Accepted, AT, Some(ann), NodeNum(2))),
        (first, Step::at_device(StepKind::Queued, AT, ann, NodeNum(1))),
        (first, Step::at_device(StepKind::Queued, AT, ben, NodeNum(1))),
        (first, Step::by(StepKind::Committed, AT + 2, None, NodeNum(0))),
        (first, sent),
        (first, Step::at_device(StepKind::Acked, AT + 250, ben, NodeNum(1))),
        (second, Step::at_device(StepKind::Expired, AT + 9_000_000, ben, NodeNum(100))),
        (second, Step::at_devices(StepKind::Expired, AT + 9_000_000, 2_000)),
        (second, Step::by(StepKind::Returned, AT + 9_000_000, Some(ann), NodeNum(0))),
    ])
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        written("v1/trace/two", "steps of two messages in one row", Value::Trace(pack())),
        written(
            "v1/trace/none",
            "a row without steps",
            Value::Trace(TracePack::new(&[] as &[(MsgId, Step)])),
        ),
    ]
}
