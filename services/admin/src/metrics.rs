//! What the admin server counts.

/// Status classes that an answer can have.
pub(crate) const STATUS_CLASSES: &[&str] = &["2xx", "4xx", "5xx"];

tmtp_chassis::metrics! {
    /// Metrics of the admin server.
    pub struct AdminMetrics in "tmtp_admin" {
        /// Requests answered by the API, by class of their status.
        requests_total: IntCounterVec["status" = STATUS_CLASSES],
    }
}
