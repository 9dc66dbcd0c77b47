//! Tests of whole clusters. Each opens with its goal and method, and ends with `cluster.passed()`, which also looks for
//! programs that died. None may share a cluster with another.
//!
//! A dead socket, one whose machine is gone without a word, cannot be made on a loopback interface without changing the
//! machine's network, so no test here shows that it does not block its node; the session's own tests do.

mod accidents;
mod acme;
mod administration;
mod api_properties;
mod bad_input;
mod bodies;
mod causal;
mod certificates;
mod chart;
mod collector;
mod community;
mod conform;
mod corpus;
mod ctl;
mod delivery;
mod documents;
mod erasure;
mod fencing;
mod graceful;
mod hour;
mod image;
mod load;
mod logins;
mod message_trace;
mod metrics;
mod neighbours;
mod nodes;
mod objects;
mod pattern;
mod pressure;
mod queue;
mod resend;
mod scripts;
mod sign_in;
mod silence;
mod sites;
mod slow_reader;
mod survival;
mod traces;
mod transcripts;
