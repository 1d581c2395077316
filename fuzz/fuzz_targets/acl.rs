//! Calls `targets::acl`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::acl(data));
