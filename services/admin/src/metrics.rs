//! What the admin server counts.

/// Status classes that an answer can have.
pub(crate) const STATUS_CLASSES: &[&str] = &["2xx", "4xx", "5xx"];

/// What can come of an order.
pub(crate) const ORDER_RESULTS: &[&str] = &["issued", "failed"];

/// How the ordering for a domain can go.
pub(crate) const ACME_STATES: &[&str] = &["waiting", "issued", "failed"];

tmtp_chassis::metrics! {
    /// Metrics of the admin server.
    pub struct AdminMetrics in "tmtp_admin" {
        /// Requests answered by the API, by class of their status.
        requests_total: IntCounterVec["status" = STATUS_CLASSES],
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
