//! The admin server as a program. Everything it does is in the library.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    tmtp_chassis::main("tmtp-admin", tmtp_admin::serve)
}
