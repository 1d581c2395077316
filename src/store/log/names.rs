//! The names of the store's files. Those of segments sort by number.

/// Locked by a running broker.
pub(crate) const LOCK: &str = "LOCK";
/// The end of the log, after a clean shutdown.
pub(crate) const END: &str = "END";
/// The number of the last segment.
pub(crate) const LAST: &str = "LAST";

/// In a copy while it is made: without it, a copy of which a part is missing would look like a whole one.
pub(crate) const INCOMPLETE: &str = "INCOMPLETE";

pub(crate) fn segment(id: u64) -> String {
    format!("{id:016x}.log")
}

/// The number of the segment with this name.
pub(crate) fn segment_id(name: &str) -> Option<u64> {
    let id = u64::from_str_radix(name.strip_suffix(".log")?, 16).ok()?;
    // a disk wears out before 2^32 segments are written
    ((1..=u32::MAX.into()).contains(&id) && segment(id) == name).then_some(id)
}

/// Does this directory contain a store?
pub fn is_stored_in(directory: &std::path::Path) -> bool {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name()).any(|name| name.to_str().is_some_and(|name| segment_id(name).is_some()))
}

/// A file for a future segment.
pub(crate) fn spare(number: u64) -> String {
    format!("spare-{number:016x}")
}

pub(crate) fn spare_number(name: &str) -> Option<u64> {
    let number = u64::from_str_radix(name.strip_prefix("spare-")?, 16).ok()?;
    (spare(number) == name).then_some(number)
}

/// A file that is not complete yet, and that no one reads.
pub(crate) fn unfinished(name: &str) -> String {
    format!("{name}.new")
}

pub(crate) fn is_unfinished(name: &str) -> bool {
    let made = |name: &str| name == END || spare_number(name).is_some() || segment_id(name).is_some();
    name.strip_suffix(".new").is_some_and(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_the_kind_of_the_file() {
        assert_eq!(segment(0x1F), "000000000000001f.log");
        assert_eq!(segment_id("000000000000001f.log"), Some(0x1F));
        assert_eq!(spare_number(&spare(3)), Some(3));
        assert!(is_unfinished("spare-0000000000000003.new"));
        for other in ["1f.log", "000000000000001F.log", "+00000000000001f.log", "0000000000000000.log", "LOCK", ".log"]
        {
            assert_eq!(segment_id(other), None, "{other}");
        }
        assert!(!is_unfinished("notes.new"));
    }
}
