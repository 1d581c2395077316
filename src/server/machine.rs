//! The memory available to the process: of the machine, or of its control group.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::config::MemoryBound;

/// Bytes; `None`: unknown.
pub(super) fn memory() -> Option<u64> {
    memory_of(&|path| fs::read_to_string(path).ok())
}

/// A limit, whose default is a number of `quarters` of the memory. `None`: no limit.
pub(super) fn bound(bound: MemoryBound, quarters: u64, memory: Option<u64>) -> Option<usize> {
    match bound {
        MemoryBound::Off => None,
        MemoryBound::Bytes(bytes) => Some(bytes),
        MemoryBound::Auto => usize::try_from(memory? / 4 * quarters).ok(),
    }
}

/// `read` returns the contents of a file, if it exists.
fn memory_of(read: &dyn Fn(&Path) -> Option<String>) -> Option<u64> {
    let machine = read(Path::new("/proc/meminfo")).as_deref().and_then(of_machine);
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let files = groups.lines().flat_map(files_of_group);
    let limits = files.filter_map(|file| read(&file)?.trim().parse().ok());
    machine.into_iter().chain(limits).min()
}

fn of_machine(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib << 10)
}

/// The files with the limits of one line of `/proc/self/cgroup`: of the group and all above it. In a container the path
/// may be that of the host, and then only the root exists.
fn files_of_group(line: &str) -> Vec<PathBuf> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { return Vec::new() };
    let (root, file) = if controllers.is_empty() {
        ("/sys/fs/cgroup", "memory.max")
    } else if controllers.split(',').any(|controller| controller == "memory") {
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
    } else {
        return Vec::new();
    };
    let group = Path::new(path.trim_start_matches('/'));
    group.ancestors().map(|group| Path::new(root).join(group).join(file)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:       16384256 kB\nMemFree:         1234567 kB\n";
    const MACHINE: u64 = 16_384_256 << 10;
    const V1: &str = "12:cpu,cpuacct:/\n5:memory:/docker/4f\n1:name=systemd:/docker/4f\n";

    /// Files by name, and the expected result.
    type Case<'a> = (&'a [(&'a str, &'a str)], Option<u64>);

    fn with(files: &[(&str, &str)]) -> Option<u64> {
        memory_of(&|path| files.iter().find(|(name, _)| Path::new(name) == path).map(|(_, text)| text.to_string()))
    }

    #[test]
    fn the_least_of_the_machine_and_of_all_groups_counts() {
        let machine = ("/proc/meminfo", MEMINFO);
        let v2 = ("/proc/self/cgroup", "0::/system.slice/dunlin.service\n");
        let service = "/sys/fs/cgroup/system.slice/dunlin.service/memory.max";
        let v1 = ("/proc/self/cgroup", V1);
        let table: &[Case<'_>] = &[
            (&[], None),
            (&[("/proc/meminfo", "MemFree: 3 kB")], None),
            (&[machine], Some(MACHINE)),
            (&[machine, v2], Some(MACHINE)),
            (&[machine, v2, (service, "max\n")], Some(MACHINE)),
            (&[machine, v2, (service, "536870912\n")], Some(512 << 20)),
            (
                &[machine, v2, (service, "max\n"), ("/sys/fs/cgroup/system.slice/memory.max", "1048576\n")],
                Some(1 << 20),
            ),
            // in a container
            (
                &[machine, ("/proc/self/cgroup", "0::/\n"), ("/sys/fs/cgroup/memory.max", "268435456\n")],
                Some(256 << 20),
            ),
            (&[machine, v1, ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")], Some(MACHINE)),
            (&[machine, v1, ("/sys/fs/cgroup/memory/docker/4f/memory.limit_in_bytes", "1073741824\n")], Some(1 << 30)),
            (&[v1, ("/sys/fs/cgroup/memory/docker/4f/memory.limit_in_bytes", "7\n")], Some(7)),
        ];
        for (files, expected) in table {
            assert_eq!(with(files), *expected, "{files:?}");
        }
    }

    #[test]
    fn a_memory_bound_is_a_part_of_the_machine_s_memory_by_default() {
        assert_eq!(bound(MemoryBound::Auto, 3, Some(1 << 30)), Some(3 << 28));
        assert_eq!(bound(MemoryBound::Auto, 1, None), None);
        assert_eq!(bound(MemoryBound::Bytes(5), 1, Some(1 << 30)), Some(5));
        assert_eq!(bound(MemoryBound::Off, 1, Some(1 << 30)), None);
    }
}
