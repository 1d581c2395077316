//! The resident memory of the process, as the kernel counts it.

use std::fs;

use crate::router::Memory;

/// Reads it from `/proc`. The result is empty on a system without `/proc`.
pub(super) fn of_process() -> Memory {
    fs::read_to_string("/proc/self/status").map_or_else(|_| Memory::default(), |status| parse(&status))
}

fn parse(status: &str) -> Memory {
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kib << 10)
    };
    Memory { resident: bytes("VmRSS:"), peak: bytes("VmHWM:") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_unknown_if_the_kernel_does_not_report_it() {
        let linux = "Name:\tdunlin\nVmPeak:\t  157248 kB\nVmHWM:\t   16080 kB\nVmRSS:\t   16072 kB\nThreads:\t3\n";
        assert_eq!(parse(linux), Memory { resident: Some(16_072 << 10), peak: Some(16_080 << 10) });
        let sandbox = "Name:\tdunlin\nVmRSS:\t16072 kB\nVmHWM:\n";
        assert_eq!(parse(sandbox), Memory { resident: Some(16_072 << 10), peak: None });
        assert_eq!(parse(""), Memory::default());
    }
}
