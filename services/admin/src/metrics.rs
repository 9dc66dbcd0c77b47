//! What the admin server counts.

use axum::http::StatusCode;

/// Status classes that an answer can have.
pub(crate) const STATUS_CLASSES: &[&str] = &["2xx", "4xx", "5xx"];

/// What can come of somebody's giving the code of an invite.
pub(crate) const TRIES: [&str; 5] = ["good", "unusable", "unknown", "malformed", "blocked"];

/// The class of a status; what is neither a refusal nor a failure is a success.
pub(crate) fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        500.. => STATUS_CLASSES[2],
        400.. => STATUS_CLASSES[1],
        _ => STATUS_CLASSES[0],
    }
}
/// What can come of an order.
pub(crate) const ORDER_RESULTS: &[&str] = &["issued", "failed"];

/// How the ordering for a domain can go.
pub(crate) const ACME_STATES: &[&str] = &["waiting", "issued", "failed"];

tmtp_chassis::metrics! {
    /// Metrics of the admin server.
    pub struct AdminMetrics in "tmtp_admin" {
        /// Requests answered by the API, by class of their status.
        requests_total: IntCounterVec["status" = STATUS_CLASSES],
        /// Requests answered by the pages for the public, by class of their status.
        public_requests_total: IntCounterVec["status" = STATUS_CLASSES],
        /// Codes of invites that were given, by what came of it.
        invite_tries_total: IntCounterVec["outcome" = &TRIES],
        /// Certificates of sites that are in use and expire within two weeks.
        certificates_expiring: IntGauge,
        /// Certificates of sites that are in use and have expired.
        certificates_expired: IntGauge,
        /// Orders at the certificate authority, by what came of them.
        acme_orders_total: IntCounterVec["result" = ORDER_RESULTS],
        /// Domains whose certificates are ordered, by how that goes.
        acme_domains: IntGaugeVec["state" = ACME_STATES],
    }
}
