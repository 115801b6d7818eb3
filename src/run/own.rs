//! What this process itself uses, of processors and of memory.

use std::fs;
use std::time::Duration;

/// Processor time and memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) cpu: Duration,
    pub(super) resident_bytes: u64,
}

/// What the system says, or zero where it says nothing.
pub(super) fn usage() -> Usage {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    Usage { cpu: cpu(&stat).unwrap_or_default(), resident_bytes: resident_bytes(&statm).unwrap_or_default() }
}

/// Memory comes in pages of the usual size from now on. Huge ones make a run take up to thrice the memory, and to clear them takes
/// longer than they save.
pub(super) fn leave_huge_pages() {
    // A kernel that has none refuses.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// Fields 14 and 15 of /proc/self/stat: ticks in user and in kernel mode. The name in field 2 may hold anything.
fn cpu(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11).map(str::parse::<u64>);
    let ticks = fields.next()?.ok()? + fields.next()?.ok()?;
    Some(Duration::from_millis(ticks * (1000 / TICKS_A_SECOND)))
}

/// Field 2 of /proc/self/statm: pages.
fn resident_bytes(statm: &str) -> Option<u64> {
    statm.split(' ').nth(1)?.parse::<u64>().ok().map(|pages| pages * rustix::param::page_size() as u64)
}

/// USER_HZ, which Linux shows on all that it runs on.
const TICKS_A_SECOND: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_s_words_are_understood() {
        let stat = "7 (a) b) R 1 7 7 0 -1 4194304 90 0 0 0 250 30 0 0 20 0 1 0 5 9 9";
        assert_eq!(cpu(stat), Some(Duration::from_millis(2800)));
        assert_eq!(resident_bytes("900 3 2 1 0 8 0"), Some(3 * rustix::param::page_size() as u64));
        assert_eq!((cpu("?"), resident_bytes("")), (None, None));
        assert!(usage().resident_bytes > 0);
    }
}
