//! Calls `targets::passwords`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::passwords(data));
