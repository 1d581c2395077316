//! Calls `targets::topic_matching`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::topic_matching(data));
