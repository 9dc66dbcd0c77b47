//! Tests of whole clusters. Each opens with its goal and method, and ends with `cluster.passed()`, which also looks for
//! programs that died. None may share a cluster with another.

mod certificates;
mod delivery;
mod nodes;
mod queue;
mod resend;
