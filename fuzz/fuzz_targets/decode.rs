//! What it does is in `targets::decode`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::decode(data));
