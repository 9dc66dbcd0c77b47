//! People join through the issuer, over HTTP, with a database; the tokens are checked as a gateway checks them.

mod flow;
mod pages;
mod rig;
