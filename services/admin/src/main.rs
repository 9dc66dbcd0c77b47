//! The admin server as a program. Everything it does is in the library.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tmtp_chassis::main("tmtp-admin", tmtp_admin::serve)
}
