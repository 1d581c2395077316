//! Metrics of the process, with the usual names of Prometheus clients. Values that the system does not provide are left
//! out.

use std::{fmt, fs};

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

use super::numbers::Numbers;
use crate::platform;

/// This process.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Numbers(encoder);
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let number = |name: &str| -> Option<i64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        if let Some(kib) = number("VmRSS:") {
            out.gauge("process_resident_memory_bytes", "Memory that is resident", kib << 10)?;
        }
        if let Some(kib) = number("VmSize:") {
            out.gauge("process_virtual_memory_bytes", "Memory that is mapped", kib << 10)?;
        }
        if let Some(threads) = number("Threads:") {
            out.gauge("process_threads", "Threads", threads)?;
        }
        if let Some(used) = platform::processor_time() {
            out.counter("process_cpu_seconds", "Processor time of all threads", used)?;
        }
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            // the directory itself is open while it is read
            let open = files.count().saturating_sub(1);
            out.gauge("process_open_fds", "Open file descriptors", open)?;
        }
        match platform::most_open_files() {
            Some(most) => out.gauge("process_max_fds", "Largest number of open file descriptors", most),
            None => Ok(()),
        }
    }
}
