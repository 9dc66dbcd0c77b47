//! Entry point of the delivery worker.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tmtp_chassis::main("tmtp-worker", tmtp_worker::serve)
}
