//! The body is in `tmtp_e2e::random`, where tests run it, too.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| tmtp_e2e::random::session(octets));
