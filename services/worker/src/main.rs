//! Entry point of the delivery worker.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    tmtp_chassis::main("tmtp-worker", tmtp_worker::serve)
}
