//! The gateway's metrics. Labels come from closed sets; ids of sites, members and messages must never be labels.

use tmtp_chassis::metrics::COUNTS;

use crate::session::{Cause, Reason};

/// Names of operations, as labels, each at the index that is its number.
pub const OPS: &[&str] = &[
    "tmtprev",
    "register",
    "login",
    "useredit",
    "ohiedit",
    "groupinvite",
    "groupedit",
    "post",
    "postnotify",
    "ping",
    "ack",
    "pulse",
    "quit",
];

tmtp_chassis::metrics! {
    /// Everything that the gateway measures.
    pub struct Metrics in "tmtp_gateway" {
        /// Connections open now, those in the handshake included.
        links_open: IntGauge,
        /// Connections refused at accept because there are too many.
        links_refused_total: IntCounter,
        /// Connections from load balancers: with a client's address, without one (their own checks), or refused
        /// because they did not begin with a proper PROXY header in time.
        proxied_total: IntCounterVec["outcome" = &["client", "balancer", "refused"]],
        /// TLS handshakes that failed, or took too long; those of load balancers' own checks excepted.
        handshake_failures_total: IntCounter,
        /// Sessions that are logged in and served.
        sessions_open: IntGauge,
        /// Sessions that this gateway keeps, those included whose client is gone.
        sessions_kept: IntGauge,
        /// Frames from clients, by operation.
        frames_in_total: IntCounterVec["op" = OPS],
        /// Frames from clients that were refused or ended the link, by reason.
        frames_refused_total: IntCounterVec["reason" = Reason::LABELS],
        /// Messages put in line for clients, repeats included.
        deliveries_total: IntCounter,
        /// Notices of presence that were dropped, because too many waited for a client.
        notices_dropped_total: IntCounter,
        /// Messages that could not be written to a client; only a bug or a lost body makes one.
        unwritable_total: IntCounter,
        /// Acks of clients that were passed to the workers.
        acks_total: IntCounter,
        /// Sessions that were opened again, by cause.
        reattach_total: IntCounterVec["cause" = Cause::LABELS],
        /// Octets of commands that wait for their answer.
        commands_unanswered_octets: IntGauge,
        /// Entries in the command streams that this gateway writes to, together; those of other gateways included.
        command_entries: IntGauge,
        /// Entries in the fullest of them. From `limits.stream_entries_max` on its clients are not read.
        command_entries_max: IntGauge,
        /// Commands per append to the command streams.
        append_commands: Histogram[COUNTS],
        /// Appends to the command streams that failed.
        append_failures_total: IntCounter,
        /// Event entries that could not be decoded and were parked.
        events_parked_total: IntCounter,
        /// Octets of request data from clients.
        body_octets_in_total: IntCounter,
        /// Octets of stored bodies written to clients.
        body_octets_out_total: IntCounter,
        /// Days until the first of the certificates in files expires; negative when one has.
        certificate_days_left: IntGauge,
        /// Certificates of sites, from the directory.
        site_certificates: IntGauge,
        /// Certificates of sites that were wanted and could not be made ready; the files served instead.
        site_certificate_failures_total: IntCounter,
        /// Sign-in tokens of people who register, by what came of the check.
        sign_ins_total: IntCounterVec["outcome" = &["accepted", "refused"]],
        /// Certificate authorities that asked for a domain and were answered.
        challenges_answered_total: IntCounter,
    }
}

#[cfg(test)]
mod tests {
    use tmtp_wire::Op;

    use super::*;

    /// Goal: labels and numbers agree, so that a count never panics; method: all operations.
    #[test]
    fn labels_follow_numbers() {
        let names: Vec<_> = Op::ALL.iter().map(|op| op.name()).collect();
        assert_eq!(names, OPS);
    }
}
