//! The gateway's program. Everything it does is in the library; this must hold nothing but the way in.

use std::process::ExitCode;

/// Gives memory back after a herd of clients has left, which the system's allocator does not.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tmtp_chassis::main("tmtp-gateway", tmtp_gateway::serve)
}
